"""Chips as `npu-smi info` lists them, and what is known of them by their names."""

from __future__ import annotations

import re
from dataclasses import dataclass

_CHIP = re.compile(r"^\|\s*(\d+)\s+([A-Za-z0-9][\w.-]*)\s*\|\s*([A-Za-z]+)\s*\|")
"""`| 0     910B3               | OK            | 94.3 ...`: the first of the two lines each chip has.

A line of the process table has a number in its second column, the other line of a chip a bus address.
"""

WITHOUT_BFLOAT16 = re.compile(r"310|910(A|B|Pro[AB]|PremiumA)?$")
"""310 and 310P (300I DUO), and the first generation of 910.

Source: Ascend/MindIE-LLM, soc_version 200-205 and 100-104 without BF16; the names are those npu-smi shows.
"""

WITH_BFLOAT16 = re.compile(r"910B\d|910C|910_93|Ascend910$|950")
"""A2 is 910B1 to 910B4, A3 shows itself as Ascend910."""


@dataclass(frozen=True, slots=True)
class Chip:
    """One chip: the number of its card, its name and what npu-smi says of its health."""

    card: int
    name: str
    health: str


def chips_in(text: str) -> tuple[Chip, ...]:
    """Return the chips in the output of `npu-smi info`, in its order."""
    found = (_CHIP.match(line.strip()) for line in text.splitlines())
    return tuple(Chip(int(match[1]), match[2], match[3]) for match in found if match)


def has_bfloat16(name: str) -> bool | None:
    """Say whether a chip computes in bfloat16; `None` for an unknown name."""
    if WITH_BFLOAT16.match(name):
        return True
    return False if WITHOUT_BFLOAT16.match(name) else None


def is_300i_duo(name: str) -> bool:
    """Say whether a chip is one of a 300I DUO."""
    return name.startswith("310P")
