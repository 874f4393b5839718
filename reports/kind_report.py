"""The base of reports that are written of runs of certain kinds alone."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Generic, TypeVar

from modeltest.api import RunResult, Summary

S = TypeVar("S", bound=Summary)


class KindReport(ABC, Generic[S]):
    """A report of runs whose summary is one of `summaries`."""

    summaries: tuple[type[S], ...]

    def accepts(self, result: RunResult) -> bool:
        """Say whether the run has such a summary."""
        return isinstance(result.summary, self.summaries)

    def write(self, result: RunResult, directory: Path) -> Sequence[Path]:
        """Write the files and return their paths; none of a run of another kind.

        Raises: PrerequisiteError when one cannot be written.
        """
        if not isinstance(result.summary, self.summaries):
            return ()
        return self.write_summary(result, result.summary, directory)

    @abstractmethod
    def write_summary(self, result: RunResult, summary: S, directory: Path) -> Sequence[Path]:
        """Write the files of `result`, whose summary is `summary`, and return their paths.

        Raises: PrerequisiteError when one cannot be written.
        """
