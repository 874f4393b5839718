"""Whether repeated trials of one batch size meet the limit: an interval of their mean, widened by doubt.

Trials scatter in proportion to the latency, so everything is computed on logarithms. One or two trials say
little of their own scatter; that of the other batch sizes is pooled with theirs, and so is a prior that the
data soon outweigh.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import exp, fsum, log, sqrt
from statistics import fmean, median_low

from modeltest.search.student_t import t_quantile

CONFIDENCE = 0.99
"""One-sided, of each end of an interval."""

PRIOR_SD = 0.01
PRIOR_FREEDOM = 2
"""The prior: the scatter of two trials more, with a relative standard deviation of 1 %."""

DISTURBED_SHARE = 0.05
DISTURBED_SDS = 6.0
DISTURBED_FROM_TRIALS = 5
"""Of five or six trials the slowest, of seven the two slowest are set aside when they lie that far above the
mean of the others."""

_SUSPECT_SDS = 3.0
"""So many standard deviations above the others, a trial among too few to set it aside is not trusted."""

_MOST_TYPICAL_VARIANCES = 9.0


@dataclass(frozen=True, slots=True)
class Spread:
    """The sum of squared deviations of log-latencies from their means, and its degrees of freedom."""

    squares: float
    freedom: int

    @property
    def variance(self) -> float:
        """The squared relative standard deviation of one trial."""
        return self.squares / self.freedom


NO_SPREAD = Spread(0.0, 0)
PRIOR = Spread(PRIOR_FREEDOM * PRIOR_SD**2, PRIOR_FREEDOM)


@dataclass(frozen=True, slots=True)
class LatencyInterval:
    """Where the latency of a batch size lies; `disturbed` trials were set aside."""

    low_ms: float
    mean_ms: float
    high_ms: float
    disturbed: int = 0


def interval(
    latencies_ms: Sequence[float], elsewhere: Spread, *, low: float = CONFIDENCE, high: float = CONFIDENCE
) -> LatencyInterval:
    """Return the interval of the mean; `low` and `high` are the confidences of its ends.

    `elsewhere` is the pooled scatter of the other batch sizes, prior included.
    """
    kept = undisturbed(latencies_ms)
    own = spread(kept)
    freedom = own.freedom + elsewhere.freedom
    error = sqrt((own.squares + elsewhere.squares) / freedom / len(kept))
    centre = fmean(map(log, kept))
    return LatencyInterval(
        low_ms=exp(centre - t_quantile(low, freedom) * error),
        mean_ms=exp(centre),
        high_ms=exp(centre + t_quantile(high, freedom) * error),
        disturbed=len(latencies_ms) - len(kept),
    )


def undisturbed(latencies_ms: Sequence[float]) -> Sequence[float]:
    """Return `latencies_ms` without the slowest trials where something else must have slowed them."""
    if len(latencies_ms) < DISTURBED_FROM_TRIALS:
        return latencies_ms
    ordered = sorted(latencies_ms)
    for count in range((len(ordered) - 1) // 3, 0, -1):
        others = ordered[:-count]
        excess = log(ordered[-count]) - fmean(map(log, others))
        if excess > max(DISTURBED_SHARE, DISTURBED_SDS * sqrt(spread(others).variance)):
            return others
    return latencies_ms


def may_be_disturbed(latencies_ms: Sequence[float], elsewhere: Spread) -> bool:
    """Say whether the slowest of trials that are too few to set it aside looks as if it should be."""
    if not 2 <= len(latencies_ms) < DISTURBED_FROM_TRIALS:
        return False
    *others, slowest = sorted(latencies_ms)
    excess = log(slowest) - fmean(map(log, others))
    return excess > max(DISTURBED_SHARE, _SUSPECT_SDS * sqrt(elsewhere.variance))


def spread(latencies_ms: Sequence[float]) -> Spread:
    """Return the scatter of the trials of one batch size around their mean."""
    logs = [log(value) for value in latencies_ms]
    mean = fmean(logs)
    return Spread(fsum((value - mean) ** 2 for value in logs), len(logs) - 1)


def pool(spreads: Iterable[Spread]) -> Spread:
    """Return the scatter of several batch sizes and the prior together.

    A batch size far more scattered than is typical, by one disturbed trial say, counts as nine times typical.
    """
    free = [each for each in spreads if each.freedom > 0]
    most = _MOST_TYPICAL_VARIANCES * median_low(each.variance for each in (PRIOR, *free))
    return Spread(
        PRIOR.squares + fsum(min(each.variance, most) * each.freedom for each in free),
        PRIOR.freedom + sum(each.freedom for each in free),
    )


def half_width(elsewhere: Spread, trials: int, *, confidence: float) -> float:
    """Return the relative half-width to expect of the interval of a batch size with so many trials."""
    freedom = elsewhere.freedom + trials - 1
    return t_quantile(confidence, freedom) * sqrt(elsewhere.variance / trials)
