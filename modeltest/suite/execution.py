"""The runs of a suite one after the other: one worker where they share a model, and on after a failure."""

from __future__ import annotations

import shlex
import signal
import traceback
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from pathlib import Path

from modeltest import registry
from modeltest.api import (
    MissingExtra,
    ModelTestError,
    PrerequisiteError,
    RunSpec,
    SpecError,
    SuiteResult,
    SuiteRun,
    SuiteStatus,
)
from modeltest.run.pipes.deadlines import Limits
from modeltest.run.planning.plan import plan
from modeltest.run.record.directory import (
    RUN_FILE,
    create_run_directory,
    read_result,
    refuse_links,
    remove_scratch,
)
from modeltest.run.supervisor.launch import RunOutcome, launch, resume
from modeltest.run.supervisor.lock import hold
from modeltest.run.supervisor.progress import Progress, aloud
from modeltest.run.supervisor.stop_signals import Held, check, hold_signals
from modeltest.run.supervisor.workers import Workers
from modeltest.run.worker.worker import INTERNAL_ERROR
from modeltest.suite.state import completed, read_results, read_suite, write_suite
from modeltest.version import __version__

LOCK_FILE = ".lock"
INTERRUPTED = 128 + signal.SIGINT


@dataclass(frozen=True, slots=True)
class SuiteOutcome:
    """How a suite ended: its directory, its result, and what stopped it early, to be raised again."""

    directory: Path
    suite: SuiteResult
    interrupt: KeyboardInterrupt | None = None


def begin_suite(
    runs: tuple[SuiteRun, ...], *, name: str, file: str, command: str | None, output_dir: str
) -> tuple[Path, SuiteResult]:
    """Make the directory of a new suite and write its `suite.json`.

    Raises: PrerequisiteError when that is not possible.
    """
    started = datetime.now(timezone.utc)
    suite = SuiteResult(
        name=name,
        file=file,
        started=started.isoformat(timespec="seconds"),
        status=SuiteStatus.PLANNED,
        runs=runs,
        command=command,
        modeltest_version=__version__,
    )
    directory = create_run_directory(output_dir, started=started, name=f"suite_{name}")
    write_suite(directory, suite)
    return directory, suite


def run_suite(directory: Path, *, progress: Progress, limits: Limits, verbose: bool = False) -> SuiteOutcome:
    """Carry out the runs of the suite in `directory` that are not complete, and write its reports.

    Raises: SpecError when there is no suite; PrerequisiteError when another process is at work on it.
    """
    read_suite(directory)  # a directory without a suite gets no lock
    refuse_links(directory)
    with hold_signals() as signals, hold(directory / LOCK_FILE):
        remove_scratch(directory)
        carrier = _Carrier(directory, progress, verbose=verbose)
        interrupt: KeyboardInterrupt | None = None
        try:
            with Workers(limits, place=directory) as workers:
                interrupt = carrier.run_all(workers)
        except KeyboardInterrupt as raised:
            interrupt = raised
        with signals.shielded():
            carrier.conclude(is_interrupted=interrupt is not None)
        suite = carrier.write_reports(signals)
    return SuiteOutcome(directory, suite, interrupt or signals.interrupt)


def specs_left(directory: Path) -> Iterator[RunSpec]:
    """Yield what the runs ask for that going on with the suite in `directory` would carry out.

    Of one that has begun, its own directory says what: that counts, whatever the suite says of it.

    Raises: SpecError when there is no suite.
    """
    for run in read_suite(directory).runs:
        folder = directory / run.name
        if run.status is SuiteStatus.COMPLETE:
            continue
        if not (folder / RUN_FILE).exists():
            yield run.spec
            continue
        with suppress(SpecError):  # what cannot be read cannot be gone on with either
            yield read_result(folder).spec


class _Carrier:
    """Keeps `suite.json` up to date while the runs go on."""

    def __init__(self, directory: Path, progress: Progress, *, verbose: bool) -> None:
        self._directory = directory
        self._progress = progress
        self._verbose = verbose
        suite = read_suite(directory)
        self._loads_before = suite.loads
        self._suite = replace(suite, status=SuiteStatus.RUNNING, exit_status=None)
        write_suite(directory, self._suite)

    def run_all(self, workers: Workers) -> KeyboardInterrupt | None:
        """Carry out what is not complete; return what interrupted it."""
        total = len(self._suite.runs)
        for index, run in enumerate(self._suite.runs):
            if run.status is SuiteStatus.COMPLETE:
                continue
            check()
            self._progress.line(f"[{index + 1}/{total}] {run.name}")
            self._record(
                index, replace(run, status=SuiteStatus.RUNNING, error=None, exit_status=None), workers
            )
            loads_before = workers.loads
            interrupt: KeyboardInterrupt | None = None
            try:
                ended, interrupt = self._run(run, workers)
            except KeyboardInterrupt as raised:
                ended, interrupt = replace(run, status=SuiteStatus.PARTIAL, error="interrupted"), raised
            ended = replace(ended, loads=run.loads + workers.loads - loads_before)
            self._record(index, ended, workers)
            self._progress.line(f"[{index + 1}/{total}] {_told(ended)}")
            if interrupt is not None:
                return interrupt
        return None

    def conclude(self, *, is_interrupted: bool) -> None:
        """Write into `suite.json` how the suite ended."""
        statuses = [run.exit_status for run in self._suite.runs if run.exit_status is not None]
        self._suite = replace(
            self._suite,
            status=SuiteStatus.PARTIAL if is_interrupted else SuiteStatus.COMPLETE,
            exit_status=INTERRUPTED if is_interrupted else max(statuses, default=0),
        )
        write_suite(self._directory, self._suite)

    def write_reports(self, signals: Held) -> SuiteResult:
        """Write every report of the suite, unless a second signal leaves no time, and return the suite."""
        try:
            if not signals.is_hurried:
                text = "the suite's reports are being written; the next signal leaves them out"
                with signals.answering(aloud(self._progress, text)):
                    write_suite_reports(self._directory, self._suite, tell=self._progress.line)
        except BaseException:
            if not signals.is_hurried:
                raise
        if signals.is_hurried:
            self._progress.line(
                f"no reports of the suite: `modeltest suite --resume {self._directory}` goes on"
            )
        return self._suite

    def _record(self, index: int, run: SuiteRun, workers: Workers) -> None:
        runs = (*self._suite.runs[:index], run, *self._suite.runs[index + 1 :])
        self._suite = replace(self._suite, runs=runs, loads=self._loads_before + workers.loads)
        write_suite(self._directory, self._suite)

    def _run(self, run: SuiteRun, workers: Workers) -> tuple[SuiteRun, KeyboardInterrupt | None]:
        try:
            outcome = self._launch_or_resume(run, workers)
        except ModelTestError as problem:
            has_begun = (self._directory / run.name / RUN_FILE).exists()
            status = SuiteStatus.FAILED if has_begun else SuiteStatus.REFUSED
            return replace(run, status=status, error=str(problem), exit_status=problem.exit_code), None
        except Exception as problem:  # a defect: the other runs may still be well
            self._progress.line(traceback.format_exc())
            error = f"internal error: {type(problem).__name__}: {problem}"
            return replace(run, status=SuiteStatus.FAILED, error=error, exit_status=INTERNAL_ERROR), None
        if outcome.interrupt is not None:
            stopped = replace(run, status=SuiteStatus.PARTIAL, error=outcome.result.error)
            return stopped, outcome.interrupt
        return completed(run, outcome.result), None

    def _launch_or_resume(self, run: SuiteRun, workers: Workers) -> RunOutcome:
        folder = self._directory / run.name
        if (folder / RUN_FILE).exists():
            return resume(folder, progress=self._progress, verbose=self._verbose, workers=workers)
        planned = plan(replace(run.spec, output_dir=str(self._directory)))
        try:
            folder.mkdir(exist_ok=True)
        except OSError as problem:
            raise PrerequisiteError(f"cannot create {folder}: {problem.strerror}") from problem
        return launch(
            planned,
            command=shlex.join(run.command),
            progress=self._progress,
            verbose=self._verbose,
            workers=workers,
            directory=folder,
        )


def write_suite_reports(directory: Path, suite: SuiteResult, *, tell: Callable[[str], None]) -> None:
    """Write every report of a suite; `tell` is called for one that lacks a package or is broken."""
    results = read_results(directory, suite)
    for report in registry.suite_reports(tell):
        try:
            with registry.guard(f"report {report.name!r} is left out"):
                report.write(suite, results, directory)
        except (MissingExtra, registry.PlugInError) as problem:
            tell(str(problem))


def _told(run: SuiteRun) -> str:
    said = run.headline or run.error or ""
    verdict = run.verdict.value if run.verdict else run.status.value.upper()
    return f"{verdict}: {said}" if said else verdict
