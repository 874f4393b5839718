"""Choosing how each row is fed: in the fastest way that was found right for rows as long."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from enum import IntEnum

from engines.common.device import is_out_of_memory
from engines.hf.beliefs.limits import limits_of
from engines.hf.beliefs.model_trial import ModelTrial, Plain, Way
from engines.hf.beliefs.probe_tree import SMALLEST_LIMIT

FEWEST_ROWS_TRIED = 8
"""Fewer rows beyond a limit are fed one by one: that takes no longer than a trial at that limit."""

_LOG = logging.getLogger(__name__)


class Feeding(IntEnum):
    """Ways of feeding rows, fastest first."""

    SHARED = 0
    """Prefixes are computed once: in packs, or in the blocks of a paged cache."""

    PADDED = 1
    """Batches of rows that are filled up to the longest."""

    ALONE = 2
    """One row at a time, as transformers itself would: always right, never fast."""


class Choosing:
    """Finds out by trials how the rows of one model can be fed, for choices or for generations.

    A trial at a limit that the model's config names is made when enough rows are longer.
    """

    def __init__(
        self, trial: ModelTrial, config: object, ways: Mapping[Feeding, Way], at_load: Plain
    ) -> None:
        self._trial = trial
        self._ways = ways
        self._at_load = at_load
        self._limits = tuple(limit for limit in limits_of(config) if limit > SMALLEST_LIMIT)
        self._known: dict[int | None, Feeding] = {}
        self.reasons: list[str] = []
        """Why faster ways are not used, in the order it was found out."""

    @property
    def usual(self) -> Feeding:
        """How rows of a few tokens are fed."""
        return self._at(None)

    def leave_out(self, feeding: Feeding) -> None:
        """Feed no row so from now on. What is right without it is tried at once."""
        self._ways = {each: way for each, way in self._ways.items() if each is not feeding}
        self._known.clear()
        self._at(None)

    def by_feeding(self, lengths: Sequence[int]) -> dict[Feeding, list[int]]:
        """Return the indices of rows by how they are fed; `lengths` count all that is fed of a row."""
        chosen = [self.usual] * len(lengths)
        for limit in self._limits:
            beyond = [index for index, length in enumerate(lengths) if length > limit]
            if not beyond:
                break
            feeding = self._beyond(limit, rows=len(beyond))
            for index in beyond:
                chosen[index] = max(chosen[index], feeding)
        return {
            feeding: indices
            for feeding in Feeding
            if (indices := [index for index, each in enumerate(chosen) if each is feeding])
        }

    def _beyond(self, limit: int, *, rows: int) -> Feeding:
        if limit not in self._known and rows < FEWEST_ROWS_TRIED:
            return Feeding.ALONE
        return self._at(limit)

    def _at(self, limit: int | None) -> Feeding:
        if limit not in self._known:
            self._known[limit] = self._tried(limit)
        return self._known[limit]

    def _tried(self, limit: int | None) -> Feeding:
        where = "" if limit is None else f" beyond {limit} tokens"
        try:
            plain = self._at_load if limit is None else self._trial.plain_beyond(limit)
            for feeding, way in self._ways.items():
                objection = self._trial.objection(plain, way)
                self._trial.end(plain)
                if objection is None:
                    return feeding
                self.reasons.append(f"{feeding.name.lower()} rows{where}: {objection}")
                _LOG.warning("not right on this model: %s", self.reasons[-1])
        except Exception as problem:
            if not is_out_of_memory(problem):
                raise
            self.reasons.append(f"rows{where}: no memory for a trial")
        return Feeding.ALONE
