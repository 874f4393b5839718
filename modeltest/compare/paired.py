"""Statistics of pairs: the same questions asked twice, each answer right or wrong, by exact counts."""

from __future__ import annotations

from collections.abc import Mapping
from math import exp, floor, fsum, inf, lgamma, log, log1p, sqrt
from statistics import NormalDist

from modeltest.api import Bounds

POWER = 0.8
"""The probability that a gate passes with as many questions as it is said to need, if nothing got worse."""

_HALVINGS = 64


def mcnemar_p_value(reference_only: int, candidate_only: int) -> float:
    """Return how often chance alone splits the questions that differ at least as unevenly, two-sided.

    The exact test: of the questions only one run answered right, each run has half in expectation.
    Source: Q. McNemar, "Note on the sampling error of the difference between correlated proportions or
    percentages", Psychometrika 12 (1947), 153-157; exact by the binomial distribution.
    """
    different = reference_only + candidate_only
    term, tail = 1, 1
    for k in range(min(reference_only, candidate_only)):
        term = term * (different - k) // (k + 1)
        tail += term
    return min(1.0, 2 * tail / (1 << different))


def paired_interval(reference_only: int, candidate_only: int, questions: int, *, confidence: float) -> Bounds:
    """Return the two-sided score interval of the difference, candidate minus reference, as fractions.

    Where the runs differ in no question it is +-z^2 / (n + z^2).
    Source: T. Tango, "Equivalence test and confidence interval for the difference in proportions for the
    paired-sample design", Statistics in Medicine 17 (1998), 891-908.

    Raises: ValueError without a question, or with more different questions than there are.
    """
    if not 0 <= reference_only + candidate_only <= questions or questions < 1:
        raise ValueError(f"{reference_only} + {candidate_only} different of {questions} questions")
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    return Bounds(
        low=_lower(reference_only, candidate_only, questions, z),
        high=-_lower(candidate_only, reference_only, questions, z),
    )


def lower_bound(reference_only: int, candidate_only: int, questions: int, *, confidence: float) -> float:
    """Return what the difference exceeds with `confidence`, one-sided: an end of `paired_interval`."""
    return paired_interval(reference_only, candidate_only, questions, confidence=2 * confidence - 1).low


def questions_needed(
    reference_only: int, candidate_only: int, questions: int, *, max_drop: float, confidence: float
) -> int | None:
    """Return how many questions would show that accuracy drops by less than `max_drop`, if it does not drop.

    With the share of different questions found here, and a probability of about `POWER`: the number at which
    the drop that chance exceeds in one of five runs can still be excluded. Never fewer than it takes when no
    question differs, n > z^2 (1 / max_drop - 1). `None` for a drop of 0, which nothing can show.
    """
    if max_drop <= 0 or not questions:
        return None
    z = NormalDist().inv_cdf(confidence)
    share = (reference_only + candidate_only) / questions
    few = floor(z**2 * (1 / max_drop - 1)) + 1
    if _is_enough(few, share, z, max_drop):
        return few
    many = 2 * few
    while not _is_enough(many, share, z, max_drop):
        many *= 2
    while many - few > 1:
        middle = (few + many) // 2
        few, many = (few, middle) if _is_enough(middle, share, z, max_drop) else (middle, many)
    return many


def holm(p_values: Mapping[str, float]) -> dict[str, float]:
    """Return p-values adjusted for being looked at together, by the same names.

    Source: S. Holm, "A simple sequentially rejective multiple test procedure", Scandinavian Journal of
    Statistics 6 (1979), 65-70.
    """
    adjusted: dict[str, float] = {}
    largest = 0.0
    for rank, name in enumerate(sorted(p_values, key=lambda name: p_values[name])):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[name]))
        adjusted[name] = largest
    return {name: adjusted[name] for name in p_values}


def at_least(count: int, total: int, share: float) -> float:
    """Return the probability of `count` or more of `total` where each has probability `share`."""
    return 1.0 if count <= 0 else _tail(range(count, total + 1), total, share)


def at_most(count: int, total: int, share: float) -> float:
    """Return the probability of `count` or fewer of `total` where each has probability `share`."""
    return 1.0 if count >= total else _tail(range(count + 1), total, share)


def _tail(counts: range, total: int, share: float) -> float:
    if share in (0.0, 1.0):
        return 1.0 if (0 if share == 0.0 else total) in counts else 0.0
    whole = lgamma(total + 1)
    logs = (
        whole - lgamma(k + 1) - lgamma(total - k + 1) + k * log(share) + (total - k) * log1p(-share)
        for k in counts
    )
    return min(1.0, fsum(map(exp, logs)))


def _is_enough(questions: int, share: float, z: float, max_drop: float) -> bool:
    """Say whether a drop by chance, in one of five runs as large or larger, is told from `max_drop`."""
    different = share * questions
    drop = NormalDist().inv_cdf(POWER) * sqrt(different)
    lost = (different + drop) / 2
    return _lower(lost, max(0.0, different - lost), questions, z) > -max_drop


def _lower(reference_only: float, candidate_only: float, questions: int, z: float) -> float:
    """Return the difference below the one found at which the score statistic is z, by bisection."""
    low, high = -1.0, (candidate_only - reference_only) / questions
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        if _score(middle, reference_only, candidate_only, questions) > z:
            low = middle
        else:
            high = middle
    return low


def _score(difference: float, reference_only: float, candidate_only: float, questions: int) -> float:
    """Return Tango's statistic: the distance from `difference`, in standard deviations it would imply."""
    a = 2 * questions
    b = -reference_only - candidate_only + (a - candidate_only + reference_only) * difference
    c = -reference_only * difference * (1 - difference)
    share = (sqrt(max(0.0, b * b - 4 * a * c)) - b) / (2 * a)
    variance = questions * (2 * share + difference * (1 - difference))
    distance = candidate_only - reference_only - questions * difference
    return distance / sqrt(variance) if variance > 0 else inf
