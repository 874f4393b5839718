"""A test of the mean of a finite population whose values are bounded, drawn without replacement.

The theorem: units are drawn uniformly without replacement from N whose mean is m. Given the t drawn so far,
with sum S, the expectation of the next value x is mu = (N m - S) / (N - t), whatever the values are. So a
bettor's capital, the product of 1 + stake (x - mu) over the values, with stakes that are chosen before each
value and never more than the capital can lose, is a martingale, and if the mean is m or less (stakes not
negative) its expectation never rises: see `evidence` for what follows from that.

Source: I. Waudby-Smith and A. Ramdas, "Estimating means of bounded random variables by betting", Journal of
the Royal Statistical Society B 86 (2024), theorem 4.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from math import inf, isfinite, log, log1p

from modeltest.api import Leaning
from modeltest.sequential.evidence import EvidencePath, log_of_sum
from modeltest.sequential.stakes import Betting, Outlook

ROUNDING = 1e-9
"""Of the range of values: sums that differ by less are taken for equal, in favour of the null."""


class Side(str, Enum):
    """Where the alternative lies."""

    GREATER = "greater"
    """The null says: the mean is at most `MeanNull.mean`."""

    LESS = "less"
    """The null says: it is at least that."""


@dataclass(frozen=True, slots=True)
class MeanNull:
    """What a test tries to exclude: that the mean of a population does not lie beyond `mean`."""

    mean: float
    population: int | None
    """How many values there are; `None` for a stream without end, each of whose values has a conditional
    expectation that keeps to the null."""

    low: float
    high: float
    """No value of the population lies outside."""

    side: Side = Side.GREATER

    def __post_init__(self) -> None:
        if not all(map(isfinite, (self.mean, self.low, self.high))) or not self.low < self.high:
            raise ValueError(f"values of {self.low} to {self.high} and a mean of {self.mean} are no null")
        if self.population is not None and self.population < 1:
            raise ValueError(f"a population has at least one value, not {self.population}")

    def upward(self) -> MeanNull:
        """Return the same with the alternative above it: all values have their signs changed for `LESS`."""
        if self.side is Side.GREATER:
            return self
        return MeanNull(-self.mean, self.population, -self.high, -self.low)


class MeanTest:
    """Bets against a null, value by value in the order they were drawn."""

    def __init__(self, null: MeanNull, betting: Betting, *, risk: float) -> None:
        self.null = null
        self.path = EvidencePath(risk)
        self._sign = 1.0 if null.side is Side.GREATER else -1.0
        self._null = null.upward()
        self._alternative = self._sign * betting.alternative
        self._stakes = betting.stakes
        self._logs = [log(weight) for weight in betting.weights]
        self._tolerance = ROUNDING * (null.high - null.low)
        self._taken = 0
        self._sum = 0.0
        self._squares = 0.0
        if self.is_impossible:
            self.path.note(inf, values=0)

    @property
    def is_excluded(self) -> bool:
        """Whether the null is excluded at the risk, and was not shown to be true by what came after."""
        return self.path.decided_at is not None and not self.is_certain

    @property
    def is_certain(self) -> bool:
        """Whether the null is true whatever is still to come: known without any risk."""
        if self.remaining is None:
            return False
        return self._left >= self._null.high * self.remaining - self._tolerance

    @property
    def is_impossible(self) -> bool:
        """Whether it is false whatever is still to come: known without any risk."""
        if self.remaining is None:
            return False
        return self._left < self._null.low * self.remaining - self._tolerance

    @property
    def leaning(self) -> Leaning:
        """Passed where the null is excluded, failed where it is certain."""
        if self.is_certain:
            return Leaning.FAILED
        return Leaning.PASSED if self.is_excluded else Leaning.OPEN

    @property
    def remaining(self) -> int | None:
        """How many values are still to come; `None` of a stream."""
        return None if self.null.population is None else self.null.population - self._taken

    @property
    def mean(self) -> float | None:
        """The mean of the values so far; `None` before the first."""
        return self._sign * self._sum / self._taken if self._taken else None

    def take(self, value: float) -> None:
        """Bet on the next value in the drawn order.

        Raises: ValueError when it lies outside the bounds, or the population has no more.
        """
        signed = self._sign * value
        if not self._null.low <= signed <= self._null.high:
            raise ValueError(f"a value of {value} lies outside {self.null.low} to {self.null.high}")
        if self.remaining == 0:
            raise ValueError(f"all {self.null.population} values of the population were taken already")
        if not (self.is_impossible or self.is_certain):
            self._bet(signed)
        self._taken += 1
        self._sum += signed
        self._squares += (signed - self._alternative) ** 2
        self.path.note(inf if self.is_impossible else log_of_sum(self._logs))

    def outlook(self) -> Outlook:
        """Return what is known before the next value, seen from below the alternative.

        There must be a next value.
        """
        mean, rest = self._null.mean, self._alternative
        if self.null.population is not None:
            remaining = self.null.population - self._taken
            mean = self._left / remaining
            rest = (self.null.population * self._alternative - self._sum) / remaining
        return Outlook(
            edge=self._alternative - mean,
            rest_edge=rest - mean,
            downside=mean - self._null.low,
            upside=self._null.high - mean,
            taken=self._taken,
            squares=self._squares,
        )

    @property
    def _left(self) -> float:
        """What the values still to come sum up to at most, if the null is true."""
        return self._null.mean * (self.null.population or 0) - self._sum

    def _bet(self, signed: float) -> None:
        outlook = self.outlook()
        # Where almost nothing can be lost the stake would be without bound; a smaller one is as valid.
        unit = max(outlook.downside, self._tolerance)
        move = (signed - self._null.low - outlook.downside) / unit
        self._logs = [
            each + log1p(stake.fraction(outlook) * move)
            for each, stake in zip(self._logs, self._stakes, strict=True)
        ]
