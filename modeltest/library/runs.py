"""A run that has a directory, finished or not: what it found as values and as data frames."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from modeltest import registry
from modeltest.api import (
    Finding,
    FindingCode,
    HarnessSummary,
    KeepingAnswers,
    RunResult,
    RunSpec,
    RunStatus,
    SpecError,
    Summary,
    Verdict,
)
from modeltest.findings import with_warnings
from modeltest.library.frames import samples_frame, token_latency_frame, trials_frame
from modeltest.run.record.directory import read_result

if TYPE_CHECKING:
    import pandas


@dataclass(frozen=True, eq=False, repr=False)
class Run:
    """One run. The data frames are made of the journal when they are first asked for, and kept."""

    directory: Path
    """Where its files are."""

    result: RunResult
    """Everything that `run.json` says, with samples and measurements read anew at each iteration."""

    def __repr__(self) -> str:
        verdict = f", {self.verdict.value}" if self.verdict else ""
        return f"Run({str(self.directory)!r}, {self.status}{verdict})"

    @property
    def spec(self) -> RunSpec:
        """What was asked for."""
        return self.result.spec

    @property
    def status(self) -> RunStatus:
        """How far it has come. A run that is going on, or whose supervisor was killed, is `running`."""
        return self.result.status

    @property
    def verdict(self) -> Verdict | None:
        """Whether its numbers may be used; `None` before there are any. Of an unfinished run: INVALID."""
        return self.result.verdict

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why the verdict is what it is."""
        return self.result.reasons

    @property
    def summary(self) -> Summary | None:
        """The headline numbers; `None` before there are any."""
        return self.result.summary

    @cached_property
    def samples(self) -> pandas.DataFrame:
        """One row per question, as `modeltest.library.frames.SAMPLES` names the columns.

        Raises: MissingExtra without pandas; SpecError for a run of lm-eval that kept no answers;
        ModelTestError when the journal is damaged.
        """
        return samples_frame(with_kept_answers(self.result, self.directory).samples)

    @cached_property
    def token_latency(self) -> pandas.DataFrame:
        """One row per output token, as `modeltest.library.frames.TOKEN_LATENCY` names the columns.

        Raises: MissingExtra without pandas; ModelTestError when the journal is damaged.
        """
        return token_latency_frame(self.result)

    @cached_property
    def trials(self) -> pandas.DataFrame:
        """One row per timed batch, as `modeltest.library.frames.TRIALS` names the columns.

        Raises: MissingExtra without pandas; ModelTestError when the journal is damaged.
        """
        return trials_frame(self.result)


def load_run(path: str | os.PathLike[str]) -> Run:
    """Return the run in the directory `path`, finished or not: `status` says how far it has come.

    Raises: SpecError when there is no run in it; ModelTestError when its `run.json` is damaged.
    """
    directory = Path(path).expanduser()
    return Run(directory, read_result(directory))


def with_kept_answers(result: RunResult, directory: Path) -> RunResult:
    """Return a run of another harness with the answers that it kept; any other as it is.

    Raises: SpecError when it kept none, or never does; ModelTestError when they are damaged.
    """
    if not isinstance(result.summary, HarnessSummary):
        return result
    task = registry.load_task(result.spec.task)
    if not isinstance(task, KeepingAnswers):
        raise SpecError(
            f"{directory} is a run of another harness ({result.spec.task}), which does not say how each "
            "question was answered; its numbers are in the summary of run.json"
        )
    answers = task.kept_answers(directory)
    notes = [Finding(FindingCode.TEXT, {"text": note}) for note in answers.notes]
    return with_warnings(replace(result, samples=answers.samples), notes)
