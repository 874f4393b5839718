"""The supervisor of a run: makes its directory, or takes one up again, and finishes it.

It is the only writer of `run.json`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import nullcontext, suppress
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import IO

from modeltest.api import (
    Finding,
    FindingCode,
    Interruption,
    ModelTestError,
    PrerequisiteError,
    RunResult,
    RunStatus,
    SpecError,
)
from modeltest.cluster.place import TABLE_VARIABLE, node_of
from modeltest.findings import sentence
from modeltest.machine.machine import describe_machine
from modeltest.run.ending.finish import finish, write_reports_of_failure
from modeltest.run.planning.plan import Plan, can_go_on, plan, protocol_version, run_name
from modeltest.run.planning.resume import accepting, refuse_other_run, unrecorded_interruption
from modeltest.run.planning.trust import code_of, digests_of_tasks
from modeltest.run.record.directory import (
    LOG_FILE,
    create_run_directory,
    read_result,
    refuse_links,
    remove_scratch,
    write_result,
)
from modeltest.run.record.journal import FILE_NAME, count_entries, end_of
from modeltest.run.supervisor.asked_files import AskedFiles, asked_files, prepared
from modeltest.run.supervisor.benchmark_file import write_benchmark
from modeltest.run.supervisor.lock import hold
from modeltest.run.supervisor.progress import Progress, aloud
from modeltest.run.supervisor.report_imports import importing_for_reports
from modeltest.run.supervisor.stop_signals import Held, hold_signals, interrupt_behind
from modeltest.run.supervisor.supervise import supervise
from modeltest.run.supervisor.watch import Watch, utc_now
from modeltest.run.supervisor.workers import Workers
from modeltest.version import __version__


@dataclass(frozen=True, slots=True)
class RunOutcome:
    """How a run ended: its directory, its result, and what stopped it early, to be raised again."""

    directory: Path
    result: RunResult
    interrupt: KeyboardInterrupt | None = None


def launch(
    plan: Plan,
    *,
    command: str | None,
    progress: Progress,
    verbose: bool = False,
    workers: Workers | None = None,
    directory: Path | None = None,
) -> RunOutcome:
    """Run a plan in worker processes and write every file of its run directory, new unless it is given.

    A run that fails leaves its journal and a `run.json` that says why; the error is raised. A signal ends it
    between files: reports that are being written are finished, unless a second signal arrives. With `verbose`
    the workers' output is shown at the end, whatever it is.

    Raises: the error a worker reported; ModelTestError when it was lost without a word.
    """
    # Only the first node measures times: the variables of other shells are ignored.
    asked = AskedFiles() if node_of(plan.spec) else asked_files(plan, os.environ)
    with hold_signals() as signals, prepared(asked):
        watch = Watch(*_begun(plan, command, directory), progress)
        for line in (*_opening(plan, watch.directory), *asked.notes):
            progress.line(line)
        with hold(watch.directory / LOG_FILE) as log:
            work = _Work(plan, watch, log, signals, asked.trace_folder)
            outcome = _execute(work, workers or Workers(), verbose=verbose)
        outcome = _with_benchmark(outcome, asked, progress)
    return _with_interrupt(outcome, signals)


def _begun(plan: Plan, command: str | None, directory: Path | None) -> tuple[Path, RunResult]:
    started = datetime.now(timezone.utc)
    directory = directory or create_run_directory(plan.spec.output_dir, started=started, name=run_name(plan))
    result = RunResult(
        spec=plan.spec,
        started=started.isoformat(timespec="seconds"),
        status=RunStatus.RUNNING,
        model=plan.model,
        adapter=plan.engine.name,
        passed_over=plan.passed_over,
        engine=None,
        dataset=None,
        machine=_machine(plan),
        command=command,
        modeltest_version=__version__,
        protocol_version=protocol_version(plan),
        task_files=digests_of_tasks(plan.spec),
    )
    return directory, result


def _machine(plan: Plan) -> dict[str, str | int | float | None]:
    of_worker = {} if plan.interpreter is None else {"python": plan.interpreter.version}
    return {**describe_machine(), **of_worker}


def _opening(plan: Plan, directory: Path) -> Iterator[str]:
    yield f"{plan.spec.engine}: engine {plan.engine.name}, run directory {directory}"
    for name, reason in plan.passed_over.items():
        yield f"not with {name}: {reason}"
    if plan.interpreter is not None:
        yield f"the worker runs in {plan.interpreter.path}, Python {plan.interpreter.version}"
    yield from (f"trusted: {code}" for code in code_of(plan.spec))
    if plan.spec.cluster is None and os.environ.get(TABLE_VARIABLE):
        yield f"{TABLE_VARIABLE} is set and not used: this run is on one node"


def resume(
    directory: Path,
    *,
    progress: Progress,
    verbose: bool = False,
    workers: Workers | None = None,
    accepted: float | None = None,
) -> RunOutcome:
    """Go on with the run in `directory` from its journal; one that is complete is left as it is.

    `accepted` is the mean distance up to which a server's log-probabilities are taken for the same weights.

    Raises: what `launch` does; SpecError when weights, prompts or rules are no longer those of the journal;
    PrerequisiteError when a process is still at work on it.
    """
    begun = read_result(directory)  # a directory without a run gets no lock
    refuse_links(directory)
    if node_of(begun.spec):
        raise SpecError(
            f"{directory} is the part of node {node_of(begun.spec)} of a run whose journal is on the first "
            f"node: go on there, and here give the same command again: {begun.command}"
        )
    with hold_signals() as signals, hold(directory / LOG_FILE) as log:
        result = read_result(directory)
        if result.status == RunStatus.COMPLETE:
            progress.line(f"{directory} is a finished run: there is nothing to go on with")
            return RunOutcome(directory, result)
        remove_scratch(directory)
        end_of(directory / FILE_NAME)  # what is not as it was written is refused before a model is loaded
        planned = plan(result.spec)
        refuse_other_run(directory, result, planned)
        if accepted is not None:
            result = accepting(directory, result, accepted)
        done = count_entries(directory / FILE_NAME)
        stopped = result.error or "its supervisor was killed"
        found_done = f" after {done} questions or trials" if done else ""
        progress.line(f"{directory}: going on{found_done}; it was stopped: {stopped}")
        for code in code_of(result.spec):
            progress.line(f"trusted: {code}")
        if result.status == RunStatus.RUNNING:
            found = unrecorded_interruption(time=utc_now(), done=done)
            result = replace(result, interruptions=(*result.interruptions, found))
        watch = Watch(directory, _begun_again(result, planned), progress, done=done)
        asked = asked_files(planned, os.environ)
        with prepared(asked):
            work = _Work(planned, watch, log, signals, asked.trace_folder)
            outcome = _execute(work, workers or Workers(), verbose=verbose)
            outcome = _with_benchmark(outcome, asked, progress)
    return _with_interrupt(outcome, signals)


def _begun_again(result: RunResult, plan: Plan) -> RunResult:
    # An earlier version left the device that the word means to the engine.
    result = replace(result, spec=plan.spec, status=RunStatus.RUNNING, journal=None)
    return replace(
        result, error=None, error_code=None, summary=None, verdict=None, reasons=(), reason_codes=()
    )


@dataclass(frozen=True, slots=True)
class _Work:
    """A run in its directory, from its plan to its files."""

    plan: Plan
    watch: Watch
    log: IO[bytes]
    signals: Held
    trace_folder: Path | None


def _execute(work: _Work, workers: Workers, *, verbose: bool) -> RunOutcome:
    watch = work.watch
    try:
        write_result(watch.directory, watch.result)
        # Nodes but the first write no reports.
        with nullcontext() if node_of(work.plan.spec) else importing_for_reports(work.plan.task):
            supervise(work.plan, watch, work.log, workers, trace_folder=work.trace_folder)
        if node_of(work.plan.spec):
            return RunOutcome(watch.directory, _write_followed(watch))
        write_result(watch.directory, watch.result)
        return RunOutcome(watch.directory, _finish(work, RunStatus.COMPLETE))
    except BaseException as problem:
        interrupt = interrupt_behind(problem) or (work.signals.interrupt if work.signals.is_hurried else None)
        if interrupt is not None:
            return RunOutcome(watch.directory, _write_partial(work), interrupt)
        _write_failure(work.plan, watch, problem)
        raise
    finally:
        watch.progress.close()
        if verbose:
            watch.progress.line(_log_text(watch.directory))


def _finish(work: _Work, status: RunStatus) -> RunResult:
    """Write reports and `run.json` of a run that has come to `status`; a signal that must wait is told so."""
    watch = work.watch
    answer = aloud(watch.progress, "the reports are being written; the next signal leaves them out")
    with work.signals.answering(answer):
        result = replace(read_result(watch.directory), status=status)
        return finish(result, watch.directory, tell=watch.progress.line)


def _with_interrupt(outcome: RunOutcome, signals: Held) -> RunOutcome:
    """Return `outcome` with the signal that came while it was being written."""
    if outcome.interrupt is not None or signals.interrupt is None:
        return outcome
    return replace(outcome, interrupt=signals.interrupt)


def _with_benchmark(outcome: RunOutcome, asked: AskedFiles, progress: Progress) -> RunOutcome:
    """Write the table of times that is asked for of a run that came to its end, and say so.

    Raises: PrerequisiteError when it cannot be written.
    """
    path = asked.benchmark
    if path is None or outcome.interrupt is not None:
        return outcome
    directory = outcome.directory
    try:
        reason = write_benchmark(outcome.result, directory, path)
    except PrerequisiteError as problem:
        raise PrerequisiteError(
            f"{problem}; the run is complete: `modeltest report {directory} --format benchmark` "
            "writes it there"
        ) from problem
    progress.line(f"times of the measured trials: {path}" if reason is None else f"no {path}: {reason}")
    return outcome


def _write_followed(watch: Watch) -> RunResult:
    """Write `run.json` of a node that is not the first, whose ranks did what rank 0 asked."""
    result = replace(watch.result, status=RunStatus.FOLLOWED)
    write_result(watch.directory, result)
    return result


def _write_partial(work: _Work) -> RunResult:
    """Write `run.json` and, if anything was finished and kept, every report of what there is.

    No report is written by a process in which a second signal has broken off another: what drew it may be
    broken.
    """
    plan, watch, signals = work.plan, work.watch, work.signals
    stop = Finding(FindingCode.INTERRUPTED, {"where": None})
    stopped = Interruption(utc_now(), sentence(stop), watch.done, reason_code=stop)
    error = Finding(FindingCode.INTERRUPTED, {"where": watch.where})
    result = replace(
        watch.result,
        status=RunStatus.PARTIAL,
        error=sentence(error),
        error_code=error,
        interruptions=(*watch.result.interruptions, stopped),
    )
    try:
        with signals.shielded():
            write_result(watch.directory, result)
        if signals.is_hurried:
            watch.progress.line(_left_out(watch))
        elif watch.done and can_go_on(plan.task):
            return _finish(work, result.status)
        elif not node_of(plan.spec):
            write_reports_of_failure(result, watch.directory, tell=watch.progress.line)
    except BaseException as problem:
        if signals.is_hurried:
            watch.progress.line(_left_out(watch))
        elif isinstance(problem, ModelTestError):
            watch.progress.line(f"no partial result: {problem}")
        else:
            raise
    return result


def _left_out(watch: Watch) -> str:
    if watch.is_done:
        return (
            f"no reports yet: `modeltest run --resume {watch.directory}` writes them; nothing is asked again"
        )
    return f"no reports: `modeltest report {watch.directory}` writes those of what was done"


def _write_failure(plan: Plan, watch: Watch, problem: BaseException) -> None:
    result = replace(
        watch.result,
        status=RunStatus.FAILED,
        error=str(problem) or type(problem).__name__,
        error_code=problem.finding if isinstance(problem, ModelTestError) else None,
    )
    # When the disk is full, or a report is broken, the error at hand says more than this one would.
    with suppress(ModelTestError):
        write_result(watch.directory, result)
        if not node_of(plan.spec):
            write_reports_of_failure(result, watch.directory, tell=watch.progress.line)


def _log_text(directory: Path) -> str:
    try:
        return (directory / LOG_FILE).read_text(encoding="utf-8", errors="replace").rstrip()
    except OSError as problem:
        return f"{directory / LOG_FILE} cannot be read: {problem.strerror}"
