"""What is known of a pack's questions before a candidate answers: where answers can be lost, and where not.

A question that the reference answered wrongly cannot be lost, so those need not be asked to exclude a loss;
and rounding flips answers only where the reference was nearly undecided. So the questions are parted in
three, by what the pack says alone, and each part is drawn in its own random order.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum
from math import ceil

_WHOLE = 1e-9


class Stratum(str, Enum):
    """Where a question belongs."""

    NEAR = "near"
    """Near-ties of the reference: rounding may change these answers, in either direction."""

    REST = "rest"
    """The others that it answered rightly: answers can only be lost."""

    SPARE = "spare"
    """The others: answers can only be won. They are asked when the rest alone does not decide."""


@dataclass(frozen=True, slots=True)
class Known:
    """What a pack says of one question."""

    id: str
    margin: float | None
    """Between the reference's best two choices; `None` where there are none, as of generated answers."""

    correct: bool
    """Whether the reference answered it rightly."""


@dataclass(frozen=True, slots=True)
class DropStrata:
    """How many questions there are of each kind, and how large a loss is to be excluded."""

    near: int
    rest: int
    spare: int
    least_drop: int
    """The fewest lost answers, less those won, that are too many to pass."""

    failing_drop: int | None = None
    """The fewest that fail, as many or more; `None`: the same. Between the two nothing is decided."""

    def __post_init__(self) -> None:
        if min(self.near, self.rest, self.spare) < 0 or self.least_drop < 1:
            raise ValueError(f"no stratum is smaller than 0 and no drop less than 1: {self}")
        if self.failing_drop is not None and self.failing_drop < self.least_drop:
            raise ValueError(f"a drop that passes does not fail: {self}")

    @property
    def population(self) -> int:
        """All questions."""
        return self.near + self.rest + self.spare


def least_drop(limit: float, population: int) -> int:
    """Return the fewest answers of `population` that make a drop of `limit` or more, a fraction."""
    return max(1, ceil(limit * population - _WHOLE))


def stratum_of(question: Known, cut: float) -> Stratum:
    """Return where a question belongs if margins up to `cut` are near-ties, as those without one are."""
    if question.margin is None or question.margin <= cut:
        return Stratum.NEAR
    return Stratum.REST if question.correct else Stratum.SPARE


def margin_cut(flip_margins: Iterable[float], *, least: float) -> float:
    """Return the margin up to which answers may change by rounding: twice the widest that did, or `least`.

    `flip_margins` are the reference's margins where a twin's answer differs. A cut that is wrong costs
    questions, not validity.
    """
    return max(least, 2 * max(flip_margins, default=0.0))


def drop_strata(
    questions: Sequence[Known], *, cut: float, limit: float, failing: float | None = None
) -> DropStrata:
    """Return the sizes for excluding that `limit` of all answers, as a fraction, are lost.

    `failing`: the fraction from which on a certain loss fails, `limit` or more; `None`: the same.
    """
    kinds = [stratum_of(each, cut) for each in questions]
    near, rest, spare = (kinds.count(kind) for kind in (Stratum.NEAR, Stratum.REST, Stratum.SPARE))
    count = len(questions)
    lost = None if failing is None else least_drop(failing, count)
    return DropStrata(near, rest, spare, least_drop(limit, count), lost)
