"""What a dashboard shows, and what a plug-in that makes pages of it must be."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Protocol, runtime_checkable

from modeltest.api.findings import Finding
from modeltest.api.metric_names import FlatMetric
from modeltest.api.verdict import Verdict

KNOWN_BEFORE = "known before as"
"""The fact of a run of an earlier version that tells its name then; its fingerprint covers less."""


class Mark(str, Enum):
    """What a comparison with an earlier run says of a number."""

    STEADY = "steady"
    """Not proven worse or better."""

    REGRESSION = "regression"
    IMPROVEMENT = "improvement"
    DOUBTFUL = "doubtful"
    """It looks worse or better, but one of the two numbers is not VALID: unclear."""

    UNCOMPARED = "uncompared"
    """There is nothing it may be compared with, or nothing it is compared by."""


class RunState(str, Enum):
    """What there is of a run."""

    COMPLETE = "complete"
    PARTIAL = "partial"
    FAILED = "failed"
    RUNNING = "running"
    """Or its supervisor was killed."""

    FOLLOWED = "followed"
    """The part of a node that is not the first, whose run has the results."""

    UNREADABLE = "unreadable"
    """There is a directory of a run that cannot be read."""

    COPY = "copy"
    """The same run lies in another directory too, and is counted there."""


@dataclass(frozen=True, slots=True)
class Compared:
    """What a number is beside that of an earlier run, its reference."""

    mark: Mark
    reference: int | None = None
    """Key of the run."""

    change: float | None = None
    """Of a share: the difference. Of anything else: the ratio minus one. With its 95 % interval."""

    low: float | None = None
    high: float | None = None
    note: str = ""
    note_code: Finding | None = None
    """`note` as values, where it is known."""


UNCOMPARED = Compared(Mark.UNCOMPARED)


@dataclass(frozen=True, slots=True)
class Point:
    """One run's value of a series."""

    run: int
    """Key of the run."""

    value: float
    low: float | None = None
    high: float | None = None
    compared: Compared = UNCOMPARED


@dataclass(frozen=True, slots=True)
class Series:
    """One number over time, oldest first; named and counted as in `metrics.json`."""

    family: str
    case: str
    unit: str
    better: str | None
    points: tuple[Point, ...]


@dataclass(frozen=True, slots=True)
class History:
    """All runs of one model, task and engine, oldest first, and the numbers that are followed."""

    key: str
    """Unique, and fit for a file name."""

    model: str
    task: str
    engine: str
    device: str
    runs: tuple[int, ...]
    """Keys of the runs, with those that gave no number."""

    series: tuple[Series, ...]


@dataclass(frozen=True, slots=True)
class DashboardRun:
    """One run as the index knows it. Of one that cannot be read, little is known."""

    key: int
    """Stays the same as long as the index knows the run."""

    directory: str
    state: RunState
    problem: str | None = None
    """Why it cannot be read, or what ended it early."""

    problem_code: Finding | None = None
    """`problem` as values, where it is known."""

    started: str | None = None
    model: str = ""
    task: str = ""
    engine: str = ""
    device: str = ""
    history: str | None = None
    """Key of its history."""

    verdict: Verdict | None = None
    decision: str | None = None
    """What it decided, such as REJECT, of a run that is there to decide."""

    decision_tone: Verdict | None = None
    """As which verdict the decision is coloured."""

    reasons: tuple[str, ...] = ()
    """Of the verdict, and of the decision."""

    reason_codes: tuple[Finding, ...] = ()
    warnings: tuple[str, ...] = ()
    warning_codes: tuple[Finding, ...] = ()
    command: str | None = None
    facts: Mapping[str, str] = field(default_factory=dict)
    """What else identifies it: fingerprint of the weights, versions, machine."""

    metrics: tuple[FlatMetric, ...] = ()
    """The numbers that are followed."""

    report: str | None = None
    """Path of its page, where it has one."""


@dataclass(frozen=True, slots=True)
class Dashboard:
    """Everything a site shows."""

    runs: Mapping[int, DashboardRun]
    """By key, the oldest first."""

    histories: tuple[History, ...]
    modeltest_version: str


@runtime_checkable
class SiteBuilder(Protocol):
    """Makes the pages of a dashboard."""

    name: str

    def build(self, dashboard: Dashboard, directory: Path, *, language: str | None) -> Sequence[Path]:
        """Write the pages into `directory`, atomically each, and return those that were written.

        Pages that would be as they are stay untouched; those of runs and histories that are no more go.
        Raises: PrerequisiteError when a page cannot be written.
        """
