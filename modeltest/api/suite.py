"""A suite: many runs from one file, what came of each, and who writes reports of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Protocol, runtime_checkable

from modeltest.api.results import RunResult
from modeltest.api.spec import RunSpec
from modeltest.api.verdict import Verdict


class SuiteStatus(str, Enum):
    """How far a run of a suite, or the suite, has come."""

    PLANNED = "planned"
    REFUSED = "refused"
    """It cannot be run as it is asked for; it never began."""

    RUNNING = "running"
    """Or whoever ran it was killed."""

    COMPLETE = "complete"
    PARTIAL = "partial"
    """It was interrupted."""

    FAILED = "failed"
    """It ended with an error."""


@dataclass(frozen=True, slots=True)
class SuiteRun:
    """One run of a suite."""

    name: str
    """Also of its directory in that of the suite."""

    command: tuple[str, ...]
    """The words that ask for the same run alone."""

    spec: RunSpec
    model: str
    """Name of the checkpoint."""

    adapter: str | None
    """The engine plug-in that serves it; `None` for one that is refused."""

    shares: int
    """Runs with the same number can share one loaded model."""

    status: SuiteStatus = SuiteStatus.PLANNED
    verdict: Verdict | None = None
    headline: str = ""
    """Its most telling numbers in one line."""

    error: str | None = None
    """What ended it early, or why it is refused."""

    exit_status: int | None = None
    """That of the command that would have run it alone; `None` while it is not known."""

    loads: int = 0
    """How often a model was loaded for it; 0: it used the one of the run before."""


@dataclass(frozen=True, slots=True)
class SuiteResult:
    """A suite and how far it has come."""

    name: str
    file: str
    started: str
    """UTC."""

    status: SuiteStatus
    runs: tuple[SuiteRun, ...]
    """In the order in which they are carried out."""

    loads: int = 0
    """How often a model was loaded, for all runs together."""

    exit_status: int | None = None
    """The highest of the runs; `None` before the end."""

    command: str | None = None
    modeltest_version: str | None = None


@runtime_checkable
class SuiteReport(Protocol):
    """Writes one kind of file from a whole suite."""

    name: str

    def write(self, suite: SuiteResult, results: Mapping[str, RunResult], directory: Path) -> Sequence[Path]:
        """Write the file or files atomically and return their paths.

        `results` has the runs that began, by name; `directory` is that of the suite.
        """
