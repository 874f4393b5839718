"""Runs tests with two sides, to accept and to reject, over many random orders at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from sequential_twin.batch import Floats, MeanBatch, Rows

from modeltest.sequential import MeanNull
from modeltest.sequential.stakes import Betting


class MeanSide:
    """The test of one null, which looks up or down."""

    def __init__(self, null: MeanNull, betting: Betting, paths: int) -> None:
        upward = null.upward()
        self._sign = 1.0 if upward is null else -1.0
        bets = Betting(self._sign * betting.alternative, betting.stakes, betting.weights)
        total = upward.mean * (upward.population or 1)
        self._batch = MeanBatch(np.array([total]), upward.population, (upward.low, upward.high), bets, paths)

    def take(self, rows: Rows, values: Floats) -> Floats:
        """Return the capital after the next values."""
        return self._batch.take(rows, self._sign * values)[:, 0]


@dataclass(slots=True)
class Sides:
    """What has to be excluded to pass, each at some time, and what evidence together is a failure."""

    passing: Sequence[MeanSide]
    failing: Sequence[MeanSide]
    paths: int
    _most: NDArray[np.float64] = field(init=False)

    def __post_init__(self) -> None:
        self._most = np.ones((self.paths, max(1, len(self.passing))))

    def take(self, rows: Rows, values: Floats) -> tuple[Floats, Floats]:
        """Return the evidence to pass, the least of the largest so far, and to fail, their mean."""
        for index, side in enumerate(self.passing):
            self._most[rows, index] = np.maximum(self._most[rows, index], side.take(rows, values))
        passing = self._most[rows].min(axis=1)
        failing = [side.take(rows, values) for side in self.failing]
        return passing, np.mean(failing, axis=0) if failing else np.zeros(len(rows))


@dataclass(frozen=True, slots=True)
class Decided:
    """After how many values each path passed and failed; 0 for never."""

    passed: NDArray[np.int64]
    failed: NDArray[np.int64]


class Draws(Protocol):
    """Where values come from."""

    def draw(self, rows: Rows) -> Floats:
        """Return the next value of each path in `rows`."""


def decide(sides: Sides, draws: Draws, most: int, *, risk: float, to_the_end: bool) -> Decided:
    """Draw up to `most` values; a path ends at its first decision.

    With `to_the_end` it ends when both sides have spoken: where a side's null is true, what it says at any
    time is its error.
    """
    found = Decided(*(np.zeros(sides.paths, dtype=np.int64) for _ in range(2)))
    spoken = found.passed, found.failed
    rows = np.arange(sides.paths)
    for step in range(1, most + 1):
        for capital, at in zip(sides.take(rows, draws.draw(rows)), spoken, strict=True):
            at[rows[(capital >= 1 / risk) & (at[rows] == 0)]] = step
        passed, failed = (at[rows] > 0 for at in spoken)
        ended = (
            (passed | (not sides.passing)) & (failed | (not sides.failing)) if to_the_end else passed | failed
        )
        rows = rows[~ended]
        if not len(rows):
            break
    return found
