"""The order in which questions are drawn: random, without replacement, the same on every machine.

Ids are sorted by the SHA-256 digest of the seed as a decimal number, a zero byte and the id in UTF-8; equal
digests by the id. So the order depends on nothing but seed and ids: not on the order in which the ids are
given, the version of Python or the platform, as shuffles of random number generators do. For who chose seed
and ids without knowing the answers it is as good as uniformly random.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import TypeVar

T = TypeVar("T")


def draw_order(ids: Sequence[str], seed: int) -> tuple[str, ...]:
    """Return `ids` in the order in which they are drawn.

    Raises: ValueError when one is there twice: it would be drawn twice.
    """
    if len(set(ids)) != len(ids):
        twice = sorted({each for each in ids if ids.count(each) > 1})
        raise ValueError(f"ids must be unique; {', '.join(twice[:5])} is there more than once")
    return tuple(sorted(ids, key=lambda each: (sha256(f"{seed}\0{each}".encode()).digest(), each)))


@dataclass(frozen=True, slots=True)
class Window:
    """Questions that are asked together: drawn in one order, asked in another."""

    drawn: tuple[str, ...]

    def asked(self, prompts: Mapping[str, Sequence[int]]) -> tuple[str, ...]:
        """Return them sorted by their prompts' token ids, so that equal beginnings are neighbours."""
        return tuple(sorted(self.drawn, key=lambda each: (tuple(prompts[each]), each)))

    def in_drawn_order(self, answers: Mapping[str, T]) -> Iterator[T]:
        """Yield the answers as tests must take them: a test that saw them sorted would be no test.

        Raises: KeyError when one is missing.
        """
        return (answers[each] for each in self.drawn)


def windows(order: Sequence[str], size: int) -> Iterator[Window]:
    """Yield `order` in windows of `size`, the last of which may be smaller."""
    if size < 1:
        raise ValueError(f"a window holds at least one question, not {size}")
    for begin in range(0, len(order), size):
        yield Window(tuple(order[begin : begin + size]))
