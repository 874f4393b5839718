"""When a worker that has not ended counts as hung. Pure: the supervisor brings the events and the clock."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto

from modeltest.api import Finding, FindingCode

SLOWEST_BATCH_FACTOR = 10
"""A batch may take this many times as long as the slowest one so far, whatever the limit says."""

EXIT_S = 60.0
"""How long a worker may take to exit once it has said that it is done."""

_LONGEST_TICK_S = 5.0
"""A longer time between two ticks is time in which the supervisor itself was stopped: it counts as this."""

RUNNING_PHASE = "running"
"""The phase in which batches end; every other phase is part of loading."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How long a worker may go without a sign, in seconds."""

    heartbeat_s: float = 120.0
    """Without any event once it runs. Loading is exempt: importing a library stops every thread."""

    load_s: float = 3600.0
    """In one phase of loading: reading the dataset, loading the model."""

    batch_s: float = 3600.0
    """Without the end of a batch; or `SLOWEST_BATCH_FACTOR` times the slowest batch, if that is longer."""

    node_s: float = 600.0
    """At the roll call of several nodes, until all are there."""


class _Stage(Enum):
    LOADING = auto()
    RUNNING = auto()
    DONE = auto()


class Deadlines:
    """Says of one worker whether it is overdue.

    `has_batches` is false for a run that does not say when a batch ends: only its heartbeat counts then.
    """

    def __init__(self, limits: Limits, *, has_batches: bool) -> None:
        self._limits = limits
        self._has_batches = has_batches
        self._stage = _Stage.LOADING
        self._now_s = self._heard_s = self._advanced_s = 0.0
        self._slowest_s = 0.0
        self._ticked_s: float | None = None

    def tick(self, clock_s: float) -> None:
        """Take in the time of a monotonic clock."""
        if self._ticked_s is not None:
            self._now_s += min(clock_s - self._ticked_s, _LONGEST_TICK_S)
        self._ticked_s = clock_s

    def hear(self, kind: str, phase: str = "") -> None:
        """Take in an event of the worker; `phase` is the new one when `kind` is phase."""
        self._heard_s = self._now_s
        if kind == "phase":
            self._advance(_Stage.RUNNING if phase == RUNNING_PHASE else _Stage.LOADING)
        elif kind == "progress":
            self._slowest_s = max(self._slowest_s, self._now_s - self._advanced_s)
            self._advance(self._stage)
        elif kind == "done":
            self._advance(_Stage.DONE)

    def overdue(self) -> Finding | None:
        """Return what the worker did not do in time, or `None` when all is well."""
        silent_s, stuck_s = self._now_s - self._heard_s, self._now_s - self._advanced_s
        limits = self._limits
        if self._stage is _Stage.DONE:
            return Finding(FindingCode.NO_EXIT, {"limit_s": EXIT_S}) if stuck_s > EXIT_S else None
        if self._stage is _Stage.LOADING:
            if stuck_s > limits.load_s:
                return Finding(FindingCode.NOT_LOADED, {"limit_s": limits.load_s})
            return None
        if silent_s > limits.heartbeat_s:
            return Finding(FindingCode.NO_HEARTBEAT, {"limit_s": limits.heartbeat_s})
        allowed_s = max(limits.batch_s, SLOWEST_BATCH_FACTOR * self._slowest_s)
        if self._has_batches and stuck_s > allowed_s:
            return Finding(FindingCode.NO_BATCH_ENDED, {"limit_s": allowed_s})
        return None

    def _advance(self, stage: _Stage) -> None:
        self._stage = stage
        self._advanced_s = self._now_s
