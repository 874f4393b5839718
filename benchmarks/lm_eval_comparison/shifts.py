"""Whether log-probabilities in 16 bits are shifted more than lm-eval shifts them itself by its batch size.

In bfloat16 two correct computations in another order differ visibly, and so may answers. What a correct one
may differ by is shown by lm-eval: the same questions in batches and one by one. ModelTest is held against
that, question by question, by the test of Kolmogorov and Smirnov.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil, comb

from lm_eval_comparison.agreement import Answer

SIGNIFICANCE = 0.01
"""Larger shifts than lm-eval's are found, with no reason, in one job of a hundred."""


@dataclass(frozen=True, slots=True)
class Shifts:
    """How far the log-probabilities of the same choices lie apart in two sets of answers."""

    choices: int
    median: float
    p90: float
    largest: float
    differing_answers: int


@dataclass(frozen=True, slots=True)
class ShiftComparison:
    """ModelTest against lm-eval, beside lm-eval against itself with other batch sizes."""

    questions: int
    modeltest: Shifts
    lm_eval: Shifts
    distance: float
    """How much larger the share of questions is that lm-eval keeps below some shift: at most, over shifts."""

    p_value: float
    """How likely a distance as large is where both shift alike."""

    @property
    def are_larger(self) -> bool:
        """Whether ModelTest's shifts are larger than chance makes them."""
        return self.p_value < SIGNIFICANCE


def compare_shifts(
    ours: Mapping[str, Answer], batched: Mapping[str, Answer], single: Mapping[str, Answer]
) -> ShiftComparison:
    """Hold the shifts from `batched` to `ours` against those from `batched` to `single`.

    The choices of a question shift together, so the test takes the largest of each question.
    """
    distance, p_value = larger_than(_by_question(ours, batched), _by_question(single, batched))
    return ShiftComparison(
        questions=len(batched),
        modeltest=describe(ours, batched),
        lm_eval=describe(single, batched),
        distance=distance,
        p_value=p_value,
    )


def describe(one: Mapping[str, Answer], other: Mapping[str, Answer]) -> Shifts:
    """Return the quantiles of all shifts between two sets of answers to the same questions."""
    shifts = sorted(shift for key in other for shift in _shifts(one[key], other[key]))
    return Shifts(
        choices=len(shifts),
        median=quantile(shifts, 0.5),
        p90=quantile(shifts, 0.9),
        largest=shifts[-1],
        differing_answers=sum(one[key].choice != other[key].choice for key in other),
    )


def quantile(ordered: Sequence[float], share: float) -> float:
    """Return the smallest value that at least `share` of the `ordered` ones do not exceed."""
    return ordered[max(0, ceil(share * len(ordered)) - 1)]


def larger_than(ours: Sequence[float], theirs: Sequence[float]) -> tuple[float, float]:
    """Return how far `ours` lie above `theirs`, as many, and how likely that is by chance.

    The one-sided test of Kolmogorov and Smirnov for two samples of one size n, exact without equal values and
    careful with them: n times the distance reaches k with probability C(2n, n + k) / C(2n, n).

    Source: B. V. Gnedenko and V. S. Korolyuk, "On the maximum discrepancy between two empirical
    distributions", Doklady Akademii Nauk SSSR 80 (1951), 525-528.
    """
    n = len(ours)
    if n != len(theirs) or not n:
        raise ValueError(f"{n} and {len(theirs)} shifts; the test is of equally many")
    lead = max(
        0,
        *(sum(each <= shift for each in theirs) - sum(each <= shift for each in ours) for shift in theirs),
    )
    return lead / n, comb(2 * n, n + lead) / comb(2 * n, n)


def _by_question(one: Mapping[str, Answer], other: Mapping[str, Answer]) -> list[float]:
    return [max(_shifts(one[key], other[key])) for key in other]


def _shifts(one: Answer, other: Answer) -> list[float]:
    return [abs(left - right) for left, right in zip(one.logprobs, other.logprobs, strict=True)]
