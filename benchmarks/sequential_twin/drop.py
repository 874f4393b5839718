"""`modeltest.sequential.DropTest` for many random orders at once, asked in windows as it allocates them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from sequential_twin.batch import Floats, MeanBatch, Rows, growth
from sequential_twin.urns import Urns

from modeltest.sequential import PAIRED, DropStrata
from modeltest.sequential.betting import FORESIGHT
from modeltest.sequential.drop_test import cells

WINDOW = 32


@dataclass(frozen=True, slots=True)
class Losses:
    """How the answers of a made candidate differ: how many are lost and won where."""

    near_lost: int
    near_won: int
    rest_lost: int
    spare_won: int = 0

    @property
    def drop(self) -> int:
        """Lost less won, over all questions."""
        return self.near_lost + self.rest_lost - self.near_won - self.spare_won


class Drawn(Protocol):
    """Where the values of a stratum come from."""

    def draw(self, rows: Rows) -> Floats:
        """Return the next value of each path in `rows`."""


def urns_of(strata: DropStrata, losses: Losses, paths: int, random: np.random.Generator) -> list[Urns]:
    """Return the urns of NEAR, REST and SPARE for a made candidate."""
    parts = (
        (strata.near, losses.near_lost, losses.near_won),
        (strata.rest, losses.rest_lost, 0),
        (strata.spare, 0, losses.spare_won),
    )
    return [Urns((-1, 0, 1), (lost, size - lost - won, won), paths, random) for size, lost, won in parts]


class DropBatch:
    """Paths of one test, until each passes, its drop is certain, or nothing is left."""

    def __init__(
        self,
        strata: DropStrata,
        urns: Sequence[Drawn],
        *,
        risk: float,
        paths: int,
        window: int = WINDOW,
    ) -> None:
        self.strata = strata
        self.level = 1 / risk
        self.decided_at = np.zeros(paths, dtype=np.int64)
        """Questions it took to pass; 0 where it did not."""

        self._window = window
        self._urns = urns
        parts = list(cells(strata.least_drop))
        sizes = (strata.near, strata.rest, strata.spare)
        near = [strata.near if each.near is None else each.near for each in parts]
        totals = (np.array(near), np.array([each.rest for each in parts]))
        bounds = ((-1.0, 1.0), (-1.0, 0.0))
        self._batches = [
            MeanBatch(total, size, bound, PAIRED, paths)
            for total, size, bound in zip(totals, sizes[:2], bounds, strict=True)
        ]
        self._sums = np.zeros(paths)
        self._taken = np.zeros((paths, 3), dtype=np.int64)
        self._sizes = np.array(sizes)
        empty = (totals[0] < -strata.near) | (totals[1] < -strata.rest)
        self._capital = [np.ones((paths, len(parts))) for _ in self._batches]
        self._excluded = np.tile(empty, (paths, 1))
        """Whether the evidence against a cell was enough at any time."""

    def run(self) -> NDArray[np.int64]:
        """Return after how many questions each path passed, 0 for never."""
        rows = np.arange(len(self.decided_at))
        while len(rows):
            for stratum, wanted in enumerate(self._allocate(rows).T):
                for turn in range(int(wanted.max(initial=0))):
                    self._take(rows[(wanted > turn) & (self.decided_at[rows] == 0)], stratum)
            rows = rows[(self.decided_at[rows] == 0) & self._is_open(rows)]
        return self.decided_at

    def _take(self, rows: Rows, stratum: int) -> None:
        if not len(rows):
            return
        values = self._urns[stratum].draw(rows)
        self._taken[rows, stratum] += 1
        self._sums[rows] += values
        if stratum < 2:
            capital = self._batches[stratum].take(rows, values)
            self._capital[stratum][rows] = capital
            capital *= self._capital[1 - stratum][rows]
            self._excluded[rows] |= capital >= self.level
        losable = (self._sizes[:2] - self._taken[rows, :2]).sum(axis=1)
        impossible = self._sums[rows] - losable > -self.strata.least_drop
        passed = impossible | self._excluded[rows].all(axis=1)
        self.decided_at[rows] = np.where(passed, self._taken[rows].sum(axis=1), 0)

    def _is_open(self, rows: Rows) -> NDArray[np.bool_]:
        left = self._sizes - self._taken[rows]
        winnable = left[:, 0] + left[:, 2]
        return (left.sum(axis=1) > 0) & (self._sums[rows] + winnable > -self.strata.least_drop)

    def _allocate(self, rows: Rows) -> NDArray[np.int64]:
        growths = [self._growth(rows, index) for index in (0, 1)]
        logs = np.log(self._capital[0][rows] * self._capital[1][rows])
        logs = np.where(self._excluded[rows], np.inf, logs)
        left = self._sizes - self._taken[rows]
        asked = np.zeros((len(rows), 3), dtype=np.int64)
        every = np.arange(len(rows))
        for _ in range(self._window):
            chosen = self._choose(logs, growths, (left - asked)[:, :2])
            for index in (0, 1):
                logs += np.where((chosen == index)[:, None], growths[index], 0.0)
            some = chosen >= 0
            asked[every[some], chosen[some]] += 1
        used_up = left[:, :2].sum(axis=1) == 0
        asked[:, 2] = np.where(used_up, np.minimum(self._window, left[:, 2]), 0)
        return asked

    def _growth(self, rows: Rows, index: int) -> Floats:
        batch = self._batches[index]
        expected = growth(FORESIGHT, batch.outlooks(rows))
        return np.where((self._taken[rows, index] < self._sizes[index])[:, None], expected, 0.0)

    @staticmethod
    def _choose(logs: Floats, growths: list[Floats], left: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return 0 for NEAR, 1 for REST, -1 where nothing is left."""
        weakest = logs.argmin(axis=1)
        every = np.arange(len(logs))
        near, rest = (each[every, weakest] for each in growths)
        is_near = (near > rest) | ((near == rest) & (left[:, 0] >= left[:, 1]))
        chosen = np.where(is_near, 0, 1)
        chosen = np.where(left[:, 0] <= 0, 1, np.where(left[:, 1] <= 0, 0, chosen))
        return np.where(left.sum(axis=1) <= 0, -1, chosen)
