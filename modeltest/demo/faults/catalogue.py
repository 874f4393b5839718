"""The catalogue of faults as data, read from `catalogue.toml`: what each is, how strong, of which models."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from functools import cache
from pathlib import Path

from modeltest.api import SpecError
from modeltest.plain.toml_file import read_toml

FILE = Path(__file__).resolve().parent / "catalogue.toml"


class Where(str, Enum):
    """The part of a port that a fault is in."""

    WEIGHTS = "weights"
    FORWARD = "forward"
    ROTARY = "rotary"
    POSITIONS = "positions"
    ATTENTION = "attention"
    NORM = "norm"
    EXPERTS = "experts"
    LOGITS = "logits"
    CACHE = "cache"
    REQUESTS = "requests"
    """The prompt is another one than was asked."""

    ANSWERS = "answers"
    """The model is right, and what is made of its tokens is not."""


OF_REQUESTS = frozenset({Where.REQUESTS, Where.ANSWERS})
"""Faults that are none of the model's."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One kind of fault."""

    name: str
    what: str
    """What a port does wrong, in a sentence."""

    where: Where
    unit: str
    """What a strength counts."""

    strength: float
    """As a port has it; one of `ladder`."""

    ladder: tuple[float, ...]
    """Strengths from weak to strong."""

    models: tuple[str, ...]
    """The models of the catalogue that have what the fault is about; none: others have."""

    held_out: bool
    """Whether nothing may be tuned on it."""

    added_later: bool
    """Whether it was not among those that the draw held out of tuning."""


@dataclass(frozen=True, slots=True)
class Catalogue:
    """All faults, and the models they are tried on."""

    faults: Mapping[str, Fault]
    models: tuple[str, ...]
    held_out_model: str
    """Nothing may be tuned on it."""

    draw_seed: int
    """Of the draw that said what is held out; see `drawn` in the tests of the catalogue."""

    directions: tuple[str, ...]
    """NAME:STRENGTH of the faults that show where answers go when a part is wrong; none is held out."""

    def named(self, name: str) -> Fault:
        """Return the fault `name`.

        Raises: SpecError.
        """
        if name not in self.faults:
            raise SpecError(f"unknown fault {name!r}; there are: {', '.join(self.faults)}")
        return self.faults[name]


@cache
def catalogue() -> Catalogue:
    """Return the catalogue that comes with this version."""
    content = read_toml(FILE)
    faults = {
        name: Fault(
            name=name,
            what=row["what"],
            where=Where(row["where"]),
            unit=row["unit"],
            strength=float(row["strength"]),
            ladder=tuple(map(float, row["ladder"])),
            models=tuple(row["models"]),
            held_out=row["held_out"],
            added_later=row.get("added_later", False),
        )
        for name, row in content["faults"].items()
    }
    return Catalogue(
        faults,
        tuple(content["models"]),
        content["held_out_model"],
        content["draw_seed"],
        tuple(content["directions"]),
    )


def read_asked(text: str) -> tuple[Fault, float]:
    """Return the fault and the strength of `NAME:STRENGTH`; without a strength, the fault's own.

    Raises: SpecError.
    """
    name, has_strength, number = text.partition(":")
    fault = catalogue().named(name)
    if not has_strength:
        return fault, fault.strength
    try:
        return fault, float(number)
    except ValueError:
        raise SpecError(
            f"fault {name} is given the strength {number!r}; it is a number ({fault.unit}), "
            f"such as {fault.strength:g}"
        ) from None
