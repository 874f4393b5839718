"""Values drawn without replacement from a population that is told by how often each value is in it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


class Urns:
    """One urn a path: each draw takes a value out, with the probability of what is still in it."""

    def __init__(
        self, values: Sequence[float], counts: Sequence[int], paths: int, random: np.random.Generator
    ) -> None:
        self._values = np.array(values, dtype=float)
        self.counts = np.tile(np.array(counts, dtype=np.int64), (paths, 1))
        self._random = random

    def draw(self, rows: NDArray[np.intp]) -> NDArray[np.float64]:
        """Return the next value of each path in `rows`."""
        counts = self.counts[rows]
        ends = counts.cumsum(axis=1)
        ticket = self._random.random(len(rows)) * ends[:, -1]
        which = (ticket[:, None] >= ends).sum(axis=1)
        self.counts[rows, which] -= 1
        return self._values[which]


class Vectors:
    """Rows of one table, drawn without replacement by each path in its own order."""

    def __init__(self, table: NDArray[np.float64], paths: int, random: np.random.Generator) -> None:
        self._table = table
        order = np.tile(np.arange(len(table)), (paths, 1))
        self._order = random.permuted(order, axis=1)
        self._given = np.zeros(paths, dtype=np.intp)

    def draw(self, rows: NDArray[np.intp]) -> NDArray[np.float64]:
        """Return the next row of the table of each path in `rows`: [rows, columns]."""
        found = self._table[self._order[rows, self._given[rows]]]
        self._given[rows] += 1
        return found
