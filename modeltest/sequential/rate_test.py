"""Whether an event is rare enough: a sequential likelihood ratio test, either way with its own risk.

Values are 1 where the event was seen and 0 where not. Passing excludes that the rate is `failing` or more,
betting that it is `passing`; failing excludes that it is `passing` or less, betting that it is `failing`.
Both capitals are likelihood ratios of the two rates (Wald's test), corrected for what has been drawn.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, floor

from modeltest.api import Leaning
from modeltest.sequential.mean_test import MeanNull, MeanTest, Side
from modeltest.sequential.stakes import AlternativeStake, Betting

_WHOLE = 1e-9


@dataclass(frozen=True, slots=True)
class RateLimits:
    """What counts as rare, and what no longer."""

    passing: float
    failing: float
    population: int | None
    """How many may be asked; `None` where the rates are those of a source without end."""

    def __post_init__(self) -> None:
        if not 0 <= self.passing < self.failing <= 1:
            raise ValueError(
                f"rates must be 0 <= passing < failing <= 1; given were {self.passing} and {self.failing}"
            )
        low, high = self.rates()
        if low >= high:
            raise ValueError(
                f"{self.population} questions do not tell a rate of {self.passing} from {self.failing}; "
                "ask more, or set the rates farther apart"
            )

    def rates(self) -> tuple[float, float]:
        """Return the largest rate that passes and the least that fails that a population can have."""
        if self.population is None:
            return self.passing, self.failing
        return (
            floor(self.passing * self.population + _WHOLE) / self.population,
            ceil(self.failing * self.population - _WHOLE) / self.population,
        )


class RateTest:
    """Advances with each question whether the event was seen."""

    def __init__(self, limits: RateLimits, *, accept_risk: float, reject_risk: float) -> None:
        low, high = limits.rates()
        stakes = (AlternativeStake(),)
        self.limits = limits
        self.passing = MeanTest(
            MeanNull(high, limits.population, 0.0, 1.0, Side.LESS),
            Betting(low, stakes, (1.0,)),
            risk=accept_risk,
        )
        """Evidence that the rate is less than `failing`."""

        self.failing = MeanTest(
            MeanNull(low, limits.population, 0.0, 1.0), Betting(high, stakes, (1.0,)), risk=reject_risk
        )
        """Evidence that it is more than `passing`."""

    def take(self, seen: bool) -> None:
        """Take the next question in the drawn order: whether the event was seen."""
        for test in (self.passing, self.failing):
            test.take(float(seen))

    @property
    def rate(self) -> float | None:
        """Of those asked so far."""
        return self.failing.mean

    @property
    def leaning(self) -> Leaning:
        """How far it has come. Where both sides were excluded the rate lies between, and it has failed."""
        if self.failing.is_excluded:
            return Leaning.FAILED
        return Leaning.PASSED if self.passing.is_excluded else Leaning.OPEN
