"""What rounding does to answers, as twins show it: which it changes, and what accuracy that costs. Pure."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import fsum, sqrt
from statistics import fmean
from typing import Protocol

from modeltest.sequential import margin_cut

MAX_DROP = 0.005
MOST_DROP = 0.05
"""The largest drop that passes where nobody said how much may be lost: the tolerance that accuracies are
compared with by habit. Small twins tell less from rounding; what they cannot tell is no reason to pass it."""

RESOLUTION = 3.5
"""Standard deviations of what rounding does to accuracy: a smaller drop is none of the port."""

MARGIN_DEVIATIONS = 6.0
"""Times what rounding does to margins: one wider than this is flipped by no correct port."""

_MOST_QUESTIONS = 1_000_000

LEAST_CUT = 1e-3
"""In nats: margins up to this are near-ties, whatever the twins did."""


class Answered(Protocol):
    """What one computation answered to a question."""

    @property
    def logprobs(self) -> Sequence[float]:
        """Of the choices, in nats; empty for generated answers."""

    @property
    def predicted(self) -> str | None:
        """The answer; `None` where there was none."""

    @property
    def correct(self) -> bool | None:
        """`None` where it failed, and of texts."""

    @property
    def margin(self) -> float | None:
        """Between the best two choices, in nats."""


Answers = Mapping[str, Answered]
"""By question."""


@dataclass(frozen=True, slots=True)
class DropLimits:
    """What accuracy may drop by, as fractions: between the two nothing is decided."""

    passing: float
    """A candidate passes where a drop of so much or more is excluded."""

    failing: float
    """It fails from this drop on: rounding alone makes a smaller one."""

    needed: int | None = None
    """Questions, of candidate and twin, with which both would be `MOST_DROP`; `None` where not known."""

    @property
    def is_wide(self) -> bool:
        """Whether some drops are too large to pass and too small to tell from rounding."""
        return self.failing > self.passing


def near_tie_cut(reference: Answers, twins: Sequence[Answers]) -> float:
    """Return the margin of the reference up to which questions are near-ties.

    It is `MARGIN_DEVIATIONS` times what the twins do to margins, and twice the widest that they flipped.
    """
    shifts, flipped = [], []
    for twin in twins:
        for name, answer in twin.items():
            before = reference[name]
            if before.margin is None or not answer.logprobs:
                continue
            best, second = _best_two(before.logprobs)
            shifts.append(answer.logprobs[best] - answer.logprobs[second] - before.margin)
            if answer.predicted != before.predicted:
                flipped.append(before.margin)
    rounding = sqrt(fsum(each * each for each in shifts) / len(shifts)) if shifts else 0.0
    return margin_cut(flipped, least=max(LEAST_CUT, MARGIN_DEVIATIONS * rounding))


def least_telling_drop(reference: Answers, twins: Sequence[Answers], *, questions: int) -> float:
    """Return the smallest drop of accuracy over `questions` that is told from rounding, a fraction.

    Rounding makes some answers right and others wrong, and over few questions these do not cancel: a correct
    port then loses more than half a point, and no test could accept it. What the twins lose says what to
    expect, as closely as their answers and the questions allow.
    """
    if not questions:
        return MAX_DROP
    told = (_told(gains, questions, len(gains)) for gains in _all_gained(reference, twins))
    return min(max(told, default=MAX_DROP), 1.0)


def drop_limits(
    reference: Answers, twins: Sequence[Answers], *, questions: int, asked: float | None = None
) -> DropLimits:
    """Return what accuracy may drop by over `questions`: what was asked for, else what twins tell.

    What rounding makes fails no correct port. But however little the twins tell, no more than `MOST_DROP`
    passes that nobody asked for.
    """
    if asked is not None:
        return DropLimits(asked, asked)
    least = least_telling_drop(reference, twins, questions=questions)
    if least <= MOST_DROP:
        return DropLimits(least, least)
    return DropLimits(MOST_DROP, least, _questions_needed(reference, twins))


def _questions_needed(reference: Answers, twins: Sequence[Answers]) -> int | None:
    """Return how many questions tell `MOST_DROP` from rounding, if twins change as large a share of them."""
    known = _all_gained(reference, twins)

    def tells(count: int) -> bool:
        return all(_told(gains, count, count) <= MOST_DROP for gains in known)

    counts = range(1, _MOST_QUESTIONS + 1)
    at = bisect_left(counts, True, key=tells)
    return counts[at] if at < len(counts) else None  # never where a twin itself lost as much


def _told(gains: Sequence[int], questions: int, of_twin: int) -> float:
    """Return the drop over `questions` that a twin tells from rounding, changing its share of `of_twin`."""
    changed = sum(map(abs, gains)) * of_twin / len(gains)
    most = (changed + 2 * sqrt(changed) + 2) / of_twin  # a few changes are known by their count alone
    scatter = sqrt(most * (1 / questions + 1 / of_twin)) if changed else 0.0
    return max(MAX_DROP, RESOLUTION * scatter - fmean(gains))


def _all_gained(reference: Answers, twins: Sequence[Answers]) -> list[list[int]]:
    """Return what each twin gained and lost, of those that answered."""
    return [gains for gains in (_gained(reference, twin) for twin in twins) if gains]


def _gained(reference: Answers, twin: Answers) -> list[int]:
    """Return of each question that a twin answered whether it was lost (-1), won (1) or neither."""
    answered = ((name, answer) for name, answer in twin.items() if answer.correct is not None)
    return [int(bool(answer.correct)) - int(bool(reference[name].correct)) for name, answer in answered]


def _best_two(logprobs: Sequence[float]) -> tuple[int, int]:
    first, second, *_ = sorted(range(len(logprobs)), key=lambda each: (-logprobs[each], each))
    return first, second
