"""`modeltest.sequential.MeanTest` for many random orders and many nulls at once, with numpy.

The same arithmetic on arrays; tests/benchmarks/test_sequential_twin.py holds it against the class itself.
Capital is kept as it is instead of as its logarithm: what falls below 1e-300 stays there.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from modeltest.sequential import AdaptiveStake, AlternativeStake, Betting, FixedStake
from modeltest.sequential.mean_test import ROUNDING
from modeltest.sequential.stakes import MOST, Stake

Floats = NDArray[np.float64]
Rows = NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class Outlooks:
    """`modeltest.sequential.stakes.Outlook` of every path and null: arrays [paths, nulls], or [paths, 1]."""

    edge: Floats
    rest_edge: Floats
    downside: Floats
    upside: Floats
    taken: Floats
    squares: Floats


class MeanBatch:
    """Paths of one test, for nulls that differ in their mean alone. The alternative lies above."""

    def __init__(
        self,
        totals: Floats,
        population: int | None,
        bounds: tuple[float, float],
        betting: Betting,
        paths: int,
    ) -> None:
        self.totals = np.asarray(totals, dtype=float)
        """Of each null: the sum of the population, or of a stream the mean."""

        self.population = population
        self.low, self.high = bounds
        self.alternative = betting.alternative
        self._stakes = betting.stakes
        self.capital = [np.full((paths, len(self.totals)), weight) for weight in betting.weights]
        """Of each rule: [paths, nulls]."""

        self.sums = np.zeros(paths)
        self.squares = np.zeros(paths)
        self.taken = np.zeros(paths)
        self._tolerance = ROUNDING * (self.high - self.low)

    def take(self, rows: Rows, values: Floats) -> Floats:
        """Bet on the next value of each path in `rows`; return their capital [rows, nulls] after it."""
        first, which = _states(self.taken[rows], self.sums[rows], self.squares[rows], values)
        capital = np.zeros((len(rows), len(self.totals)))
        for owned, factor in zip(self.capital, self._factors(rows[first], values[first]), strict=True):
            now = owned[rows] * factor[which]
            owned[rows] = now
            capital += now
        self.taken[rows] += 1
        self.sums[rows] += values
        self.squares[rows] += (values - self.alternative) ** 2
        return capital

    def _factors(self, rows: Rows, values: Floats) -> list[Floats]:
        """Return what the capital of each rule is multiplied by: [rows, nulls]."""
        outlooks = self.outlooks(rows)
        is_open = ~(self._is_impossible(rows) | self._is_certain(rows))
        move = (values[:, None] - self.low - outlooks.downside) / np.maximum(
            outlooks.downside, self._tolerance
        )
        move = np.where(is_open, move, 0.0)
        ends = is_open & self._is_impossible(rows, values, 1)
        return [np.where(ends, np.inf, 1 + fraction(stake, outlooks) * move) for stake in self._stakes]

    def outlooks(self, rows: Rows) -> Outlooks:
        """Return what is known before the next values."""
        if self.population is None:
            mean = np.broadcast_to(self.totals, (len(rows), len(self.totals)))
            rest = np.full((len(rows), 1), self.alternative)
        else:
            remaining = np.maximum(self.population - self.taken[rows], 1)[:, None]
            mean = (self.totals[None, :] - self.sums[rows][:, None]) / remaining
            rest = (self.population * self.alternative - self.sums[rows][:, None]) / remaining
        return Outlooks(
            edge=self.alternative - mean,
            rest_edge=rest - mean,
            downside=mean - self.low,
            upside=self.high - mean,
            taken=self.taken[rows][:, None],
            squares=self.squares[rows][:, None],
        )

    def _is_certain(self, rows: Rows) -> NDArray[np.bool_]:
        left, remaining = self._left(rows)
        return (left >= self.high * remaining - self._tolerance) & (self.population is not None)

    def _is_impossible(self, rows: Rows, values: Floats | float = 0.0, taken: int = 0) -> NDArray[np.bool_]:
        """Return whether no values to come make the null true, now or with `values` taken."""
        left, remaining = self._left(rows)
        left = left - np.reshape(values, (-1, 1))
        return (left < self.low * (remaining - taken) - self._tolerance) & (self.population is not None)

    def _left(self, rows: Rows) -> tuple[Floats, Floats]:
        """Return what the values to come sum up to under the null, and how many they are."""
        left = self.totals[None, :] - self.sums[rows][:, None]
        return left, ((self.population or 0) - self.taken[rows])[:, None]


def _states(*columns: Floats) -> tuple[Rows, Rows]:
    """Return where each combination of values is first, and which combination each row has.

    Many paths are in the same state, and what they risk is computed once. Rows are told apart by a number
    that is made of all columns; should two states have the same, every row is computed by itself.
    """
    key = sum(column * weight for column, weight in zip(columns, (1.0, 2**0.5, 3**0.5, 5**0.5), strict=True))
    _, first, which = np.unique(key, return_index=True, return_inverse=True)
    if all((column[first][which] == column).all() for column in columns):
        return first, which
    every = np.arange(len(columns[0]))
    return every, every


def fraction(stake: Stake, outlooks: Outlooks) -> Floats:
    """Return the part of the largest stake, as `Stake.fraction` does."""
    if isinstance(stake, FixedStake):
        return np.where(outlooks.edge > 0, min(stake.part, MOST), 0.0)
    if isinstance(stake, AlternativeStake):
        with np.errstate(divide="ignore", invalid="ignore"):
            part = outlooks.rest_edge / outlooks.upside
        return np.where((outlooks.rest_edge > 0) & (outlooks.upside > 0), np.minimum(part, MOST), 0.0)
    if isinstance(stake, AdaptiveStake):
        return _fastest(*_scaled(stake, outlooks))
    raise TypeError(f"no arrays are known for {stake}")


def growth(stake: AdaptiveStake, outlooks: Outlooks) -> Floats:
    """Return by how much the logarithm of capital is expected to grow, as `AdaptiveStake.growth` does."""
    edge, square = _scaled(stake, outlooks)
    part = _fastest(edge, square)
    found = np.minimum(square, 1.0) / 2 * np.log1p(-(part**2)) + np.log1p(part * edge)
    return np.maximum(found, 0.0)


def _scaled(stake: AdaptiveStake, outlooks: Outlooks) -> tuple[Floats, Floats]:
    """Return edge and mean square in units of what may be lost; an edge of 0 where nothing is staked."""
    mean_square = (stake.prior_values * stake.prior_square + outlooks.squares) / (
        stake.prior_values + outlooks.taken
    )
    useful = (outlooks.edge > 0) & (outlooks.downside > 0)
    downside = np.where(useful, outlooks.downside, 1.0)
    return np.where(useful, outlooks.edge, 0.0) / downside, mean_square / downside**2


def _fastest(edge: Floats, square: Floats) -> Floats:
    return np.minimum(2 * edge / (square + np.sqrt(square**2 + 4 * edge**2)), MOST)
