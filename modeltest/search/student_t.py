"""Quantiles of Student's t distribution for whole degrees of freedom, by the standard library alone."""

from __future__ import annotations

from functools import lru_cache
from math import atan, cos, inf, pi, sin, sqrt, tan

_HALVINGS = 60


def t_probability(t: float, freedom: int) -> float:
    """Return the probability that a variable of Student's t distribution is at most `t`.

    Source: M. Abramowitz, I. A. Stegun (eds.), Handbook of Mathematical Functions, 26.7.3 and 26.7.4.
    """
    return (1 + _between(atan(t / sqrt(freedom)), freedom)) / 2


@lru_cache(maxsize=4096)
def t_quantile(probability: float, freedom: int) -> float:
    """Return the value that the variable stays below with `probability`, for 0.5 <= probability < 1.

    Raises: ValueError outside that range, or without a degree of freedom.
    """
    if not 0.5 <= probability < 1 or freedom < 1:
        raise ValueError(f"no quantile for probability {probability} and {freedom} degrees of freedom")
    low, high = 0.0, pi / 2
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        if (1 + _between(middle, freedom)) / 2 < probability:
            low = middle
        else:
            high = middle
    return sqrt(freedom) * tan(low) if low < pi / 2 else inf


def _between(angle: float, freedom: int) -> float:
    """Return the probability of lying between -t and t, for t = sqrt(freedom) tan(angle)."""
    cosine, sine = cos(angle), sin(angle)
    odd = freedom % 2
    term = cosine if odd else 1.0
    total = 0.0
    for power in range(1 if odd else 0, freedom - 1, 2):
        total += term
        term *= cosine * cosine * (power + 1) / (power + 2)
    return 2 / pi * (angle + sine * total) if odd else sine * total
