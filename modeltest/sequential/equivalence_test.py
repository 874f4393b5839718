"""Whether a mean lies within -bound..bound: a signed statistic that has no direction of its own."""

from __future__ import annotations

from dataclasses import dataclass

from modeltest.api import Leaning
from modeltest.sequential.betting import signed_betting
from modeltest.sequential.evidence import EvidencePath, all_of, any_of
from modeltest.sequential.mean_test import MeanNull, MeanTest, Side


@dataclass(frozen=True, slots=True)
class EquivalenceLimits:
    """The mean that passes, and how far single values reach."""

    bound: float
    """Means of at least `-bound` and at most `bound` are those of a correct port."""

    largest: float
    """No value is farther from 0: a test cannot bound the mean of what has no bound, so the caller cuts.

    Passing takes about `log(1 / risk) * largest / bound` values or more, so a narrow cut ends sooner.
    """

    population: int | None

    def __post_init__(self) -> None:
        if not 0 < self.bound < self.largest:
            raise ValueError(
                f"the bound of the mean, {self.bound}, must be positive and less than the largest value, "
                f"{self.largest}"
            )


class EquivalenceTest:
    """Advances with each value; passes when both directions are excluded, fails when one is shown."""

    def __init__(self, limits: EquivalenceLimits, *, accept_risk: float, reject_risk: float) -> None:
        self.limits = limits
        self.passing = EvidencePath(accept_risk)
        self.failing = EvidencePath(reject_risk)
        bound = limits.bound
        self._inside = (
            self._test(-bound, Side.GREATER, 0.0, accept_risk),
            self._test(bound, Side.LESS, 0.0, accept_risk),
        )
        self._outside = (
            self._test(bound, Side.GREATER, 2 * bound, reject_risk),
            self._test(-bound, Side.LESS, -2 * bound, reject_risk),
        )

    def take(self, value: float) -> None:
        """Take the next value in the drawn order.

        Raises: ValueError when it is farther from 0 than `EquivalenceLimits.largest`.
        """
        for test in (*self._inside, *self._outside):
            test.take(value)
        self.passing.note(all_of([test.path.log_maximum for test in self._inside]))
        self.failing.note(any_of([test.path.log_evidence for test in self._outside]))

    @property
    def mean(self) -> float | None:
        """Of the values so far."""
        return self._inside[0].mean

    @property
    def leaning(self) -> Leaning:
        """How far it has come; what was shown without risk, as at the end, outdoes what was likely."""
        if any(test.is_certain for test in self._inside):
            return Leaning.FAILED
        if all(test.is_impossible for test in self._inside):
            return Leaning.PASSED
        if self.failing.decided_at is not None:
            return Leaning.FAILED
        return Leaning.PASSED if self.passing.decided_at is not None else Leaning.OPEN

    def _test(self, mean: float, side: Side, alternative: float, risk: float) -> MeanTest:
        largest = self.limits.largest
        null = MeanNull(mean, self.limits.population, -largest, largest, side)
        return MeanTest(null, signed_betting(alternative, largest), risk=risk)
