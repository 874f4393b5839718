"""Statistics of a proportion and of repeated trials, by the standard library alone."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from math import sqrt

from modeltest.api import Distribution, Proportion

CONFIDENCE = 0.95
_Z = statistics.NormalDist().inv_cdf((1 + CONFIDENCE) / 2)


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
    Source: NIST/SEMATECH e-Handbook of Statistical Methods, 1.3.5.6 "Measures of Scale".
    """
    if not values:
        return Distribution(0, None, None, None, None, None, None, None)
    median = statistics.median(values)
    mean = statistics.fmean(values)
    sd = statistics.stdev(values) if len(values) > 1 else None
    return Distribution(
        n=len(values),
        median=median,
        mean=mean,
        sd=sd,
        cv=sd / abs(mean) if sd is not None and mean else None,
        mad=statistics.median(abs(value - median) for value in values),
        minimum=min(values),
        maximum=max(values),
    )


def _wilson_interval(p: float, n: int) -> tuple[float, float]:
    scale = 1 + _Z**2 / n
    centre = (p + _Z**2 / (2 * n)) / scale
    half_width = _Z / scale * sqrt(p * (1 - p) / n + _Z**2 / (4 * n**2))
    # At p = 0 and p = 1 one end equals p exactly; rounding would put it beyond.
    return max(0.0, min(p, centre - half_width)), min(1.0, max(p, centre + half_width))
