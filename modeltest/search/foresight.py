"""What more trials of a batch size could still decide, so that none is run that decides nothing.

Nothing here decides anything: where trials end early, what they would have shown stays unknown.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import log, sqrt
from statistics import fmean

from modeltest.search.sequential_test import CONFIDENCE, Spread, spread, undisturbed
from modeltest.search.student_t import t_quantile

HOPELESS_SDS = 3.0
"""A mean moves by so many of its standard deviations, either way, in one case of 370."""

DENIED_SDS = 2.0
"""A mean slower than foreseen by so many standard deviations of the difference denies what foresaw it."""


def is_hopeless(
    latencies_ms: Sequence[float],
    elsewhere: Spread,
    *,
    limit_ms: float,
    trials_left: int,
    high: float = CONFIDENCE,
) -> bool:
    """Say whether `trials_left` more can hardly decide: `limit_ms` is too near to the mean.

    With them the interval will be about so wide, and the mean will have moved by about so much:
    variance x (1 / trials - 1 / all trials), that of the mean of all against that of the first of them.
    """
    if not latencies_ms:
        return False
    ahead = _foresee(latencies_ms, elsewhere, trials_left=trials_left, high=high)
    return abs(log(limit_ms) - ahead.mean) + HOPELESS_SDS * ahead.moves < ahead.half


def can_hardly_pass(
    latencies_ms: Sequence[float],
    elsewhere: Spread,
    *,
    limit_ms: float,
    trials_left: int,
    high: float = CONFIDENCE,
) -> bool:
    """Say whether `trials_left` more can hardly bring the upper bound within `limit_ms`.

    Foreseen as in `is_hopeless`, but however far above the limit the mean is.
    """
    if not latencies_ms:
        return False
    ahead = _foresee(latencies_ms, elsewhere, trials_left=trials_left, high=high)
    return log(limit_ms) - ahead.mean + HOPELESS_SDS * ahead.moves < ahead.half


def can_hardly_exceed(
    latencies_ms: Sequence[float],
    foreseen_ms: Sequence[float],
    everywhere: Spread,
    *,
    limit_ms: float,
    most_trials: int,
) -> bool:
    """Say whether `most_trials` can hardly bring the lower bound above `limit_ms`, by a model of the latency.

    `foreseen_ms` is what the model makes of the trials of another batch size. Where the trials at hand are
    slower than that by more than both scatter, they deny the model, and it says nothing.
    """
    own, foreseen = undisturbed(latencies_ms), undisturbed(foreseen_ms)
    if not own or not foreseen:
        return False
    own_mean, foreseen_mean = fmean(map(log, own)), fmean(map(log, foreseen))
    sd = sqrt(everywhere.variance)
    if own_mean - foreseen_mean > DENIED_SDS * sd * sqrt(1 / len(own) + 1 / len(foreseen)):
        return False
    both = len(own) + len(foreseen)
    mean = (len(own) * own_mean + len(foreseen) * foreseen_mean) / both
    moves = sd * sqrt(1 / both + 1 / most_trials)
    half = t_quantile(CONFIDENCE, everywhere.freedom) * sd / sqrt(most_trials)
    return mean + HOPELESS_SDS * moves < log(limit_ms) + half


@dataclass(frozen=True, slots=True)
class _Foresight:
    """The mean of logarithms so far, how far trials will move it, and the half-width they will give."""

    mean: float
    moves: float
    half: float


def _foresee(
    latencies_ms: Sequence[float], elsewhere: Spread, *, trials_left: int, high: float
) -> _Foresight:
    kept = undisturbed(latencies_ms)
    own = spread(kept)
    freedom = own.freedom + elsewhere.freedom
    variance = (own.squares + elsewhere.squares) / freedom
    final = len(kept) + trials_left
    return _Foresight(
        mean=fmean(map(log, kept)),
        moves=sqrt(variance * (1 / len(kept) - 1 / final)),
        half=t_quantile(high, freedom + trials_left) * sqrt(variance / final),
    )
