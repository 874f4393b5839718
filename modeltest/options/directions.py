"""`--direction` of `modeltest reference make`: small faults of the reference, by name and strength."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite

from modeltest.api import SpecError
from modeltest.demo.faults.catalogue import OF_REQUESTS, catalogue, read_asked


@dataclass(frozen=True, slots=True)
class Direction:
    """A fault that shows where the reference's answers go when a part is wrong."""

    fault: str
    strength: float

    @property
    def label(self) -> str:
        """The fault and its strength, as the engine `faulty` takes them."""
        return f"{self.fault}:{self.strength:g}"

    @property
    def name(self) -> str:
        """What the computation is called."""
        return f"direction-{self.fault}-{self.strength:g}".replace("+", "")


@dataclass(frozen=True, slots=True)
class Directions:
    """The directions that a pack is to have."""

    all: tuple[Direction, ...]
    are_asked_for: bool
    """Whether a reference that cannot have them is refused rather than left without."""


def read_directions(words: Sequence[str], *, no_directions: bool, texts: int) -> Directions:
    """Return what `--direction` and `--no-directions` ask for; without either those of the catalogue.

    Directions tell texts alone, so a pack without texts has none.

    Raises: SpecError.
    """
    if words and no_directions:
        raise SpecError("--direction and --no-directions contradict each other; give one of them")
    if words and not texts:
        raise SpecError("--direction is told by texts, and --texts 0 leaves them out; give more")
    if no_directions or not texts:
        return Directions((), are_asked_for=False)
    found = [_direction(text) for text in words or catalogue().directions]
    for number, each in enumerate(found):
        if each in found[:number]:
            raise SpecError(f"--direction {each.label} is given twice")
    return Directions(tuple(found), are_asked_for=bool(words))


def _direction(text: str) -> Direction:
    fault, strength = read_asked(text)
    if fault.where in OF_REQUESTS:
        raise SpecError(
            f"--direction {text!r:.80} is a fault of what is asked and of what is made of the answer: give "
            "one of the model; docs/faults.md has them"
        )
    if not isfinite(strength):
        raise SpecError(f"--direction {text!r:.80}: a strength is a finite number ({fault.unit})")
    return Direction(fault.name, strength)
