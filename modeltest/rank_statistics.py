"""Statistics of ranks: what repeated trials say whatever their distribution, by the standard library."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from functools import cache
from itertools import combinations
from math import exp, factorial, log, sqrt

from modeltest.api import Drift, Overhead
from modeltest.statistics import CONFIDENCE

EXACT_UP_TO = 40
"""Of more trials than this, the p-value of a trend is that of the normal approximation."""


def drift(values: Sequence[float]) -> Drift | None:
    """Return whether `values` rise or fall in their order; `None` for fewer than three, or a median of 0.

    The p-value is two-sided and exact where no two values are equal; equal ones make it larger.
    Five trials cannot say anything at 1 %: even in perfect order they have p = 2 / 5! = 0.017.

    Source: H. B. Mann, "Nonparametric tests against trend", Econometrica 13 (1945), 245-259, with M. G.
    Kendall's null distribution; the slope is P. K. Sen's, Journal of the American Statistical Association 63
    (1968), 1379-1389.
    """
    median = statistics.median(values) if len(values) > 2 else 0.0
    if not median:
        return None
    pairs = list(combinations(enumerate(values), 2))
    slope = statistics.median((later - earlier) / (j - i) for (i, earlier), (j, later) in pairs)
    score = sum((later > earlier) - (later < earlier) for (_, earlier), (_, later) in pairs)
    return Drift(
        slope_per_trial=slope,
        change=slope * (len(values) - 1) / abs(median),
        p_value=_trend_p_value(score, len(values)),
    )


def overhead(timed: Sequence[float], bare: Sequence[float]) -> Overhead | None:
    """Return how much longer `timed` takes than `bare`, as a fraction, with its 95 % interval.

    The median of all ratios of one to the other; the interval is that of the rank sum test, and unknown for
    numbers of trials that allow none: fewer than 3 with 5, say. `None` when a side has no trial, or one that
    took no time.

    Source: J. L. Hodges and E. L. Lehmann, "Estimates of location based on rank tests", Annals of
    Mathematical Statistics 34 (1963), 598-611, of logarithms; the interval as in M. Hollander and D. A.
    Wolfe, "Nonparametric Statistical Methods", 4.3.
    """
    if not timed or not bare or min(*timed, *bare) <= 0:
        return None
    shifts = sorted(log(one) - log(other) for one in timed for other in bare)
    cut = _rank_sum_cut(len(timed), len(bare))
    return Overhead(
        fraction=exp(statistics.median(shifts)) - 1,
        low=exp(shifts[cut - 1]) - 1 if cut else None,
        high=exp(shifts[-cut]) - 1 if cut else None,
        bare_trials=len(bare),
    )


def _trend_p_value(score: int, n: int) -> float:
    """Return how often `n` trials in random order score as far from 0 as `score`."""
    if n > EXACT_UP_TO:
        sd = sqrt(n * (n - 1) * (2 * n + 5) / 18)
        return min(1.0, 2 * statistics.NormalDist().cdf(-max(0, abs(score) - 1) / sd))
    most = n * (n - 1) // 2
    # A score of s has (most - s) / 2 pairs in the wrong order.
    inversions = (most - abs(score)) // 2
    return min(1.0, 2 * sum(_inversion_counts(n)[: inversions + 1]) / factorial(n))


@cache
def _inversion_counts(n: int) -> tuple[int, ...]:
    """Return, by number of inversions, how many of the orders of `n` values have it."""
    counts = [1]
    for size in range(2, n + 1):
        longer = [0] * (len(counts) + size - 1)
        for index, count in enumerate(counts):
            for shift in range(size):
                longer[index + shift] += count
        counts = longer
    return tuple(counts)


def _rank_sum_cut(m: int, n: int) -> int:
    """Return which of the `m n` sorted shifts bounds the interval, counted from 1; 0 where none does."""
    counts = _rank_sum_counts(m, n)
    total, cumulated = sum(counts), 0
    for cut, count in enumerate(counts):
        cumulated += count
        if cumulated > (1 - CONFIDENCE) / 2 * total:
            return cut
    return 0


def _rank_sum_counts(m: int, n: int) -> list[int]:
    """Return, by U, how many arrangements of `m` and `n` values have it: the Gaussian binomial."""
    counts = [1] + [0] * (m * n)
    for factor in range(1, n + 1):
        for u in range(m * n, m + factor - 1, -1):
            counts[u] -= counts[u - m - factor]
        for u in range(factor, m * n + 1):
            counts[u] += counts[u - factor]
    return counts
