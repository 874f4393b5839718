"""What rounding does to answers, as twins show it: which it changes, and what accuracy that costs. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import fsum, sqrt
from statistics import fmean
from typing import Protocol

from modeltest.sequential import margin_cut

MAX_DROP = 0.005
RESOLUTION = 3.5
"""Standard deviations of what rounding does to accuracy: a smaller drop is none of the port."""

MARGIN_DEVIATIONS = 6.0
"""Times what rounding does to margins: one wider than this is flipped by no correct port."""

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
    known = [_gained(reference, twin) for twin in twins]
    told = [each for each in known if each]
    if not told or not questions:
        return MAX_DROP
    least = MAX_DROP
    for gains in told:
        changed = sum(map(abs, gains))
        most = (changed + 2 * sqrt(changed) + 2) / len(gains)  # a few changes are known by their count alone
        scatter = sqrt(most * (1 / questions + 1 / len(gains))) if changed else 0.0
        least = max(least, RESOLUTION * scatter - fmean(gains))
    return min(least, 1.0)


def _gained(reference: Answers, twin: Answers) -> list[int]:
    """Return of each question that a twin answered whether it was lost (-1), won (1) or neither."""
    answered = ((name, answer) for name, answer in twin.items() if answer.correct is not None)
    return [int(bool(answer.correct)) - int(bool(reference[name].correct)) for name, answer in answered]


def _best_two(logprobs: Sequence[float]) -> tuple[int, int]:
    first, second, *_ = sorted(range(len(logprobs)), key=lambda each: (-logprobs[each], each))
    return first, second
