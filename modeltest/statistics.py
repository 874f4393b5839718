"""Statistics of a proportion and of repeated trials, by the standard library alone."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from math import comb, pi, sqrt

from modeltest.api import Distribution, Proportion

CONFIDENCE = 0.95
_Z = statistics.NormalDist().inv_cdf((1 + CONFIDENCE) / 2)

TAIL_DOUBT = 0.01
"""A percentile needs so many values that all lie below it with this probability at most: 44, 90, 459."""

_STUDENT_T = {3: 4.302653, 4: 3.182446, 5: 2.776445}
"""Two-sided 95 % quantiles of Student's t by number of values (one degree of freedom less)."""


@dataclass(frozen=True, slots=True)
class Interval:
    """A 95 % confidence interval."""

    low: float
    high: float


def proportion(correct: int, total: int) -> Proportion:
    """Return `correct` of `total` with its standard error and 95 % interval; all `None` when `total` is 0.

    The standard error is that of a proportion, sqrt(p (1 - p) / n).
    Source: E. B. Wilson, "Probable inference, the law of succession, and statistical inference",
    Journal of the American Statistical Association 22 (1927), 209-212, without continuity correction.

    Raises: ValueError unless 0 <= correct <= total.
    """
    if not 0 <= correct <= total:
        raise ValueError(f"correct must lie in 0..{total} (the total), not {correct}")
    if total == 0:
        return Proportion(correct, total, None, None, None, None)
    p = correct / total
    low, high = _wilson_interval(p, total)
    return Proportion(correct, total, p, sqrt(p * (1 - p) / total), low, high)


def distribution(values: Sequence[float]) -> Distribution:
    """Return what repeated trials say of one metric; what they cannot say is `None`.

    `sd` divides by n - 1 and needs two values. `cv` is sd / |mean|, a fraction, and needs a mean but 0.
    `mad` is the median of the distances from the median, not scaled to the standard deviation.
    `low` and `high` are those of `median_interval`, the percentiles those of `percentile`.
    Source: NIST/SEMATECH e-Handbook of Statistical Methods, 1.3.5.6 "Measures of Scale".
    """
    if not values:
        return Distribution(0, None, None, None, None, None, None, None)
    median = statistics.median(values)
    mean = statistics.fmean(values)
    sd = statistics.stdev(values) if len(values) > 1 else None
    interval = median_interval(values)
    return Distribution(
        n=len(values),
        median=median,
        mean=mean,
        sd=sd,
        cv=sd / abs(mean) if sd is not None and mean else None,
        mad=statistics.median(abs(value - median) for value in values),
        minimum=min(values),
        maximum=max(values),
        low=interval.low if interval else None,
        high=interval.high if interval else None,
        p90=percentile(values, 0.90),
        p95=percentile(values, 0.95),
        p99=percentile(values, 0.99),
    )


def median_interval(values: Sequence[float]) -> Interval | None:
    """Return the 95 % interval of the median; `None` for fewer than three values.

    Of six values or more: between two of them, counted from either end and interpolated to 95 %, which holds
    whatever they are distributed like. Source: T. P. Hettmansperger and S. J. Sheather, "Confidence intervals
    based on interpolated order statistics", Statistics & Probability Letters 4 (1986), 75-79.

    The order of five says 93.75 % at most. Of three to five: Student's t with the standard error that the
    median of a normal sample has when it is large, sqrt(pi / 2) sd / sqrt(n); it is less in a small one, so
    the interval is wide rather than narrow. Source: J. F. Kenney and E. S. Keeping, "Mathematics of
    Statistics", part 1 (1962), 15.9. Of times and rates, none of which is negative, it begins at 0 at least.
    """
    n = len(values)
    if n < min(_STUDENT_T):
        return None
    if n in _STUDENT_T:
        median = statistics.median(values)
        half_width = _STUDENT_T[n] * sqrt(pi / 2) * statistics.stdev(values) / sqrt(n)
        low = median - half_width
        return Interval(low if min(values) < 0 else max(0.0, low), median + half_width)
    return _order_interval(sorted(values))


def percentile(values: Sequence[float], fraction: float) -> float | None:
    """Return the value below which `fraction` of `values` lie, or `None` where there are too few to tell.

    There are enough when the largest exceeds the true percentile with 99 % confidence: fraction^n <= 0.01,
    44 for p90, 90 for p95, 459 for p99. Between two values it is interpolated, as by numpy and pandas.
    Source: S. S. Wilks, "Determination of sample sizes for setting tolerance limits", Annals of Mathematical
    Statistics 12 (1941), 91-96.
    """
    if fraction ** len(values) > TAIL_DOUBT:
        return None
    ordered = sorted(values)
    place = fraction * (len(ordered) - 1)
    below = int(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (place - below)


def relative_half_width(found: Distribution) -> float | None:
    """Return half the width of the interval as a fraction of the median; `None` where either is unknown."""
    if found.low is None or found.high is None or not found.median:
        return None
    return (found.high - found.low) / 2 / abs(found.median)


def _order_interval(ordered: Sequence[float]) -> Interval:
    n = len(ordered)
    depth = 1
    while _order_confidence(n, depth + 1) >= CONFIDENCE:
        depth += 1
    wider, narrower = _order_confidence(n, depth), _order_confidence(n, depth + 1)
    part = (wider - CONFIDENCE) / (wider - narrower)
    weight = (n - depth) * part / (depth + (n - 2 * depth) * part)
    return Interval(
        ordered[depth - 1] + weight * (ordered[depth] - ordered[depth - 1]),
        ordered[n - depth] + weight * (ordered[n - depth - 1] - ordered[n - depth]),
    )


def _order_confidence(n: int, depth: int) -> float:
    """Return how surely the median lies between the values `depth` from either end of `n`."""
    return 1 - 2 * sum(comb(n, k) for k in range(depth)) / (1 << n)


def _wilson_interval(p: float, n: int) -> tuple[float, float]:
    scale = 1 + _Z**2 / n
    centre = (p + _Z**2 / (2 * n)) / scale
    half_width = _Z / scale * sqrt(p * (1 - p) / n + _Z**2 / (4 * n**2))
    # At p = 0 and p = 1 one end equals p exactly; rounding would put it beyond.
    return max(0.0, min(p, centre - half_width)), min(1.0, max(p, centre + half_width))
