"""How much of its capital a bettor risks on the next value: decided before that value is seen.

Any such rule keeps the test valid; which one it is decides how soon it ends. None is best for all candidates,
so capital is divided among several at the begin, and the divisions that win decide.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import fsum, log, sqrt
from typing import Protocol

MOST = 0.999
"""No bettor risks more of the capital: a single bad value would end the test for good."""


@dataclass(frozen=True, slots=True)
class Outlook:
    """What is known before the next value; the alternative lies above the null."""

    edge: float
    """What a value is expected to exceed the null mean by, under the alternative."""

    downside: float
    """How far the next value may lie below the null mean: there, all that is staked is lost."""

    upside: float
    """How far it may lie above."""

    rest_edge: float
    """As `edge`, if the alternative is true of the whole population, given the values so far."""

    taken: int
    squares: float
    """Sum of the squared distances of the values so far from the alternative."""


class Stake(Protocol):
    """A rule of betting."""

    def fraction(self, outlook: Outlook) -> float:
        """Return which part of the largest allowed stake is risked on the next value, 0 to `MOST`."""


@dataclass(frozen=True, slots=True)
class FixedStake:
    """Always the same part, wherever the alternative promises a gain at all."""

    part: float

    def fraction(self, outlook: Outlook) -> float:
        """Return the part, or 0."""
        return min(self.part, MOST) if outlook.edge > 0 else 0.0


@dataclass(frozen=True, slots=True)
class AdaptiveStake:
    """The part that makes capital grow fastest, if values scatter around the alternative as they did so far.

    With values of 0, and of +1 and -1 equally often in a share q of cases, and an edge d, capital grows by
    q/2 log(1 - f^2) + log(1 + f d) a value, nearly; it does so fastest where d f^2 + q f = d. Source of the
    criterion: J. L. Kelly, "A new interpretation of information rate", Bell System Technical Journal (1956).
    """

    prior_values: float
    """How many values the first guess of the scatter counts for."""

    prior_square: float
    """The first guess: the mean squared distance from the alternative."""

    def fraction(self, outlook: Outlook) -> float:
        """Return the part."""
        if outlook.edge <= 0 or outlook.downside <= 0:
            return 0.0
        return min(_fastest(*self._scaled(outlook)), MOST)

    def growth(self, outlook: Outlook) -> float:
        """Return by how much the logarithm of capital is expected to grow with the next value."""
        if outlook.edge <= 0 or outlook.downside <= 0:
            return 0.0
        edge, square = self._scaled(outlook)
        part = min(_fastest(edge, square), MOST)
        return max(0.0, min(square, 1.0) / 2 * log(1 - part**2) + log(1 + part * edge))

    def _scaled(self, outlook: Outlook) -> tuple[float, float]:
        mean_square = (self.prior_values * self.prior_square + outlook.squares) / (
            self.prior_values + outlook.taken
        )
        return outlook.edge / outlook.downside, mean_square / outlook.downside**2


@dataclass(frozen=True, slots=True)
class AlternativeStake:
    """The stake of a likelihood ratio: of values that are either bound it makes the test Wald's.

    Source: P. B. Stark, "ALPHA: audit that learns from previously hand-audited ballots", Annals of Applied
    Statistics 17 (2023), with a fixed alternative; A. Wald, "Sequential tests of statistical hypotheses",
    Annals of Mathematical Statistics 16 (1945).
    """

    def fraction(self, outlook: Outlook) -> float:
        """Return the part."""
        if outlook.rest_edge <= 0 or outlook.upside <= 0:
            return 0.0
        return min(outlook.rest_edge / outlook.upside, MOST)


@dataclass(frozen=True, slots=True)
class Betting:
    """Rules among which the capital is divided, and the mean they bet on."""

    alternative: float
    """The mean of a population that the test is there to confirm, such as 0 of a port that loses nothing."""

    stakes: tuple[Stake, ...]
    weights: tuple[float, ...]

    def __post_init__(self) -> None:
        wrong = len(self.stakes) != len(self.weights) or not self.stakes or min(self.weights) <= 0
        if wrong or abs(fsum(self.weights) - 1) > 1e-9:
            raise ValueError(
                f"weights of {len(self.stakes)} stakes must be positive and sum to 1: {self.weights}"
            )


def _fastest(edge: float, square: float) -> float:
    """Return the root of `edge f^2 + square f = edge` in 0..1, without a difference of near equals."""
    return 2 * edge / (square + sqrt(square**2 + 4 * edge**2))


def fixed(parts: Sequence[float]) -> tuple[FixedStake, ...]:
    """Return a rule for each part."""
    return tuple(map(FixedStake, parts))
