"""Ratios of medians with an interval, by resampling sessions, or trials where there is one session."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt
from random import Random
from statistics import NormalDist, median

from modeltest.api import Bounds
from modeltest.search.student_t import t_quantile

RESAMPLES = 1000
_SEED = 0


@dataclass(frozen=True, slots=True)
class Change:
    """Candidate against reference: of medians, with intervals where there are enough values for them."""

    reference: float
    candidate: float
    ratio_interval: Bounds | None
    difference_interval: Bounds | None

    @property
    def ratio(self) -> float:
        """Candidate over reference."""
        return self.candidate / self.reference

    @property
    def difference(self) -> float:
        """Candidate minus reference."""
        return self.candidate - self.reference


def change(
    reference: Sequence[Sequence[float]], candidate: Sequence[Sequence[float]], *, confidence: float
) -> Change:
    """Return how the candidate's values compare, given the trials of each session of either side.

    A side's value is the median over sessions of the session's median. Its sessions are drawn with
    replacement; those of a side with one session are its trials. The ends of the two-sided interval are
    percentiles of the resampled ratios, moved outwards for small numbers. The draws are the same in every
    call.

    Source: B. Efron, "Bootstrap methods: another look at the jackknife", Annals of Statistics 7 (1979), 1-26;
    the expanded percentiles are those of T. C. Hesterberg, "What teachers should know about the bootstrap",
    The American Statistician 69 (2015), 371-386.

    Raises: ValueError for a side without a value.
    """
    before, after = units(reference), units(candidate)
    if not before or not after:
        raise ValueError("no value to compare")
    fewest = min(len(before), len(after))
    ratios = differences = None
    if fewest > 1:
        random = Random(_SEED)
        draws = [(_draw(before, random), _draw(after, random)) for _ in range(RESAMPLES)]
        tail = expanded_tail((1 - confidence) / 2, fewest)
        if all(one > 0 for one, _ in draws):
            ratios = _ends([other / one for one, other in draws], tail)
        differences = _ends([other - one for one, other in draws], tail)
    return Change(median(before), median(after), ratios, differences)


def units(sessions: Sequence[Sequence[float]]) -> list[float]:
    """Return what is resampled: the sessions' medians, or the trials of a single session."""
    filled = [trials for trials in sessions if trials]
    if len(filled) == 1:
        return list(filled[0])
    return [median(trials) for trials in filled]


def expanded_tail(tail: float, count: int) -> float:
    """Return the share of resampled values to leave out at one end, of `count` values, instead of `tail`.

    Of few values the bootstrap underestimates the spread, and takes tails of the normal distribution where
    those of Student's t are due; this corrects both.
    """
    quantile = t_quantile(1 - tail, count - 1) * sqrt(count / (count - 1))
    return NormalDist().cdf(-quantile)


def _draw(values: Sequence[float], random: Random) -> float:
    """Return the median of a resample, by sorting: `statistics.median` takes several times as long."""
    drawn = sorted(random.choices(values, k=len(values)))
    middle = len(drawn) // 2
    return drawn[middle] if len(drawn) % 2 else (drawn[middle - 1] + drawn[middle]) / 2


def _ends(values: list[float], tail: float) -> Bounds:
    values.sort()
    outside = int(tail * len(values))
    return Bounds(values[outside], values[-1 - outside])
