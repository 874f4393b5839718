"""Sequential tests of shifts: whether texts and questions move as rounding moves them. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt

from modeltest.api import Leaning
from modeltest.sequential import (
    EquivalenceLimits,
    EquivalenceTest,
    EvidencePath,
    MeanNull,
    MeanTest,
    RateLimits,
    RateTest,
    Side,
    signed_betting,
)
from modeltest.shifts.noise import BOUND, PASSING_OUTLIERS, RARE_COUNT, REACH, Noise, Statistic

SCATTER = 5.0
"""Standard errors: of few texts the means of a correct port and of its twin are as far apart by chance."""

FAILING_OUTLIERS = 0.05
"""Of texts or questions: so many are far off in no correct port."""

FAILING_TIMES = 4
"""Of few: the failing rate is as many times the passing one."""


@dataclass(frozen=True, slots=True)
class Risks:
    """How often a verdict may be wrong."""

    accept: float = 0.01
    """Of each test: that it passes a candidate at its limit, at any stopping time."""

    reject: float = 0.0003
    """Of all tests together: that a correct port is rejected."""


class SpreadTest:
    """Whether shifts are no larger than a twin's: smaller ones are as good."""

    def __init__(self, bound: float, population: int, risks: Risks) -> None:
        self._inside = MeanTest(
            MeanNull(bound, population, -REACH, REACH, Side.LESS),
            signed_betting(0.0, REACH),
            risk=risks.accept,
        )
        self._outside = MeanTest(
            MeanNull(bound, population, -REACH, REACH), signed_betting(2 * bound, REACH), risk=risks.reject
        )

    @property
    def passing(self) -> EvidencePath:
        """Evidence that the mean is less than the bound."""
        return self._inside.path

    @property
    def failing(self) -> EvidencePath:
        """Evidence that it is more."""
        return self._outside.path

    @property
    def mean(self) -> float | None:
        """Of the values so far."""
        return self._inside.mean

    def take(self, value: float) -> None:
        """Take the next value in the drawn order."""
        self._inside.take(value)
        self._outside.take(value)

    @property
    def leaning(self) -> Leaning:
        """How far it has come; what was shown without risk, as at the end, outdoes what was likely."""
        if self._inside.is_certain:
            return Leaning.FAILED
        if self._inside.is_impossible:
            return Leaning.PASSED
        if self._outside.is_excluded:
            return Leaning.FAILED
        return Leaning.PASSED if self._inside.is_excluded else Leaning.OPEN


def rare_test(passing: float, failing: float, population: int, risks: Risks) -> RateTest:
    """Return a test whether an event is rare among `population`: a rate of `passing`, and none of `failing`.

    Of few, `RARE_COUNT` events decide nothing, and the rates are as much higher.
    """
    passing = max(passing, RARE_COUNT / population)
    limits = RateLimits(passing, max(failing, FAILING_TIMES * passing), population)
    return RateTest(limits, accept_risk=risks.accept, reject_risk=risks.reject)


class ShiftTests:
    """All statistics of one kind of unit, advancing together."""

    def __init__(self, noise: Noise, population: int, risks: Risks) -> None:
        self.noise = noise
        self.population = population
        self.taken = 0
        self.bound = max(BOUND, min(SCATTER * sqrt(1 / population + 1 / noise.units), REACH / 2))
        """Beyond it the mean of a statistic is no correct port's."""

        self.tests: dict[str, EquivalenceTest | SpreadTest] = {
            each.name: self._test(each, risks) for each in noise.statistics
        }
        self.outliers = rare_test(PASSING_OUTLIERS, FAILING_OUTLIERS, population, risks)
        """Of what is far off: a mean says little of what is seldom wrong."""

    def take(self, unit: str, told: Sequence[float] | None) -> None:
        """Take the next unit in the drawn order; `None` where it failed, which is as far off as can be."""
        self.taken += 1
        values = None if told is None else self.noise.values(unit, told)
        for statistic in self.noise.statistics:
            lost = REACH if statistic.of_squares and statistic.is_one_sided else 0.0
            self.tests[statistic.name].take(lost if values is None else values[statistic.name])
        self.outliers.take(told is None or self.noise.is_outlier(unit, told))

    @property
    def is_open(self) -> bool:
        """Whether a test has not passed, and there is more to ask."""
        return self.taken < self.population and not self.has_passed

    @property
    def has_passed(self) -> bool:
        """Whether all of them have."""
        tests = (self.outliers, *self.tests.values())
        return all(test.leaning is Leaning.PASSED for test in tests)

    @property
    def evidence_against(self) -> list[float]:
        """Log-evidence of each test against a correct port, now."""
        shifts = [test.failing.log_evidence for test in self.tests.values()]
        return [self.outliers.failing.path.log_evidence, *shifts]

    def _test(self, statistic: Statistic, risks: Risks) -> EquivalenceTest | SpreadTest:
        if statistic.is_one_sided:
            return SpreadTest(self.bound, self.population, risks)
        limits = EquivalenceLimits(self.bound, REACH, self.population)
        return EquivalenceTest(limits, accept_risk=risks.accept, reject_risk=risks.reject)
