"""The supervisor: starts the worker process of a plan, watches it and finishes its run directory.

It imports neither torch nor an engine's heavy parts: whatever happens to the worker, the supervisor lives
to say so. It is the only writer of `run.json`.
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import IO

from modeltest import __version__
from modeltest.api import (
    AccuracyTask,
    HarnessTask,
    ModelTestError,
    PrerequisiteError,
    RunResult,
)
from modeltest.run.directory import LOG_FILE, create_run_directory, read_result, write_result
from modeltest.run.engine_files import engine_files
from modeltest.run.events import VARIABLE, EventReader
from modeltest.run.finish import finish
from modeltest.run.machine import describe_machine
from modeltest.run.plan import Plan, run_name
from modeltest.run.progress import Progress
from modeltest.run.watch import Watch

POLL_S = 0.2
"""How often a silent worker is checked for life."""

GRACE_S = 10.0
"""How long an interrupted worker may take to end before it is killed."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a run ended: the exit status of the command and the result, which names its files."""

    exit_code: int
    directory: Path
    result: RunResult


def launch(plan: Plan, *, command: str | None, progress: Progress, verbose: bool = False) -> Outcome:
    """Run a plan in a worker process and write every file of its run directory.

    A worker that fails leaves its journal and a `run.json` that says why; the error is raised. With `verbose`
    the worker's output is shown when it has ended, however it has.

    Raises: the error the worker reported; ModelTestError when it died without a word.
    """
    started = datetime.now(timezone.utc)
    spec = plan.spec
    directory = create_run_directory(spec.output_dir, started=started, name=run_name(plan))
    result = RunResult(
        spec=spec,
        started=started.isoformat(timespec="seconds"),
        status="running",
        model=plan.model,
        adapter=plan.engine.name,
        passed_over=plan.passed_over,
        engine=None,
        dataset=None,
        machine=describe_machine(),
        command=command,
        modeltest_version=__version__,
        protocol_version=_protocol_version(plan),
    )
    progress.line(f"{spec.engine}: engine {plan.engine.name}, run directory {directory}")
    for name, reason in plan.passed_over.items():
        progress.line(f"not with {name}: {reason}")
    write_result(directory, result)
    watch = Watch(directory, result, progress)
    try:
        exit_code = _run_worker(plan, watch)
    except BaseException as problem:
        said = str(problem) or type(problem).__name__
        reason = "interrupted" if isinstance(problem, KeyboardInterrupt) else said
        _write_failure(watch, status="partial", reason=reason)
        raise
    finally:
        progress.close()
        if verbose:
            progress.line(_log_text(directory))
    return _conclude(watch, exit_code)


def _run_worker(plan: Plan, watch: Watch) -> int:
    with (
        tempfile.TemporaryDirectory(prefix="modeltest-") as scratch,
        _log(watch.directory) as log,
        engine_files(plan, watch.directory) as of_files,
    ):
        pipe = Path(scratch) / "events"
        reader = EventReader(pipe)
        try:
            process = subprocess.Popen(
                [sys.executable, "-m", "modeltest.run.worker", str(watch.directory)],
                env=_environment(plan, pipe, of_files),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            return _follow(process, reader, watch)
        finally:
            reader.close()


def _environment(plan: Plan, pipe: Path, of_files: Mapping[str, str]) -> dict[str, str]:
    # A folder such as transformers/ in the current directory must not stand in for the package.
    fixed = {"PYTHONSAFEPATH": "1", "PYTHONUNBUFFERED": "1", VARIABLE: str(pipe)}
    of_task = plan.task.environment(plan.spec) if isinstance(plan.task, HarnessTask) else {}
    return {**os.environ, **plan.engine.environment(plan.spec, plan.model), **of_files, **of_task, **fixed}


def _follow(process: subprocess.Popen[bytes], reader: EventReader, watch: Watch) -> int:
    try:
        while process.poll() is None:
            if select.select([reader], [], [], POLL_S)[0]:
                for event in reader.read():
                    watch.handle(event)
                time.sleep(0.01)  # an open pipe without a writer is always readable
        for event in reader.read():
            watch.handle(event)
    except BaseException:
        _stop(process)
        raise
    return process.returncode


def _stop(process: subprocess.Popen[bytes]) -> None:
    """End the worker and whatever it started: politely first, then, or at a second interrupt, for certain."""
    # Not SIGINT: a shell starts background jobs with SIGINT ignored, and so would the worker be.
    for number in (signal.SIGTERM, signal.SIGKILL):
        if process.poll() is not None:
            return
        os.killpg(process.pid, number)
        with suppress(subprocess.TimeoutExpired, KeyboardInterrupt):
            process.wait(timeout=GRACE_S)


def _conclude(watch: Watch, exit_code: int) -> Outcome:
    log = watch.directory / LOG_FILE
    if exit_code == 0:
        return Outcome(0, *_finished(watch))
    if exit_code < 0:
        number = -exit_code
        failure = watch.failure or ModelTestError(
            f"the worker was killed by {_signal_name(number)} {watch.last_progress}; "
            f"what it finished is kept in {watch.directory}, its output in {log}"
        )
        exit_code = 128 + number
    else:
        failure = watch.failure or ModelTestError(
            f"the worker ended with status {exit_code} {watch.last_progress}; its output is in {log}"
        )
    _write_failure(watch, status="failed", reason=str(failure))
    failure.exit_code = exit_code
    raise failure


def _finished(watch: Watch) -> tuple[Path, RunResult]:
    try:
        write_result(watch.directory, replace(watch.result, status="complete"))
        return watch.directory, finish(read_result(watch.directory), watch.directory)
    except BaseException as problem:
        _write_failure(watch, status="failed", reason=str(problem))
        raise


def _write_failure(watch: Watch, *, status: str, reason: str) -> None:
    # When the disk is full, the error at hand says more than this one would.
    with suppress(PrerequisiteError):
        write_result(watch.directory, replace(watch.result, status=status, error=reason))


def _log_text(directory: Path) -> str:
    try:
        return (directory / LOG_FILE).read_text(encoding="utf-8", errors="replace").rstrip()
    except OSError as problem:
        return f"{directory / LOG_FILE} cannot be read: {problem.strerror}"


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


@contextmanager
def _log(directory: Path) -> Iterator[IO[bytes]]:
    try:
        file = (directory / LOG_FILE).open("ab")
    except OSError as problem:
        raise PrerequisiteError(f"cannot write {directory / LOG_FILE}: {problem.strerror}") from problem
    with file:
        yield file


def _protocol_version(plan: Plan) -> str | None:
    task = plan.task
    return task.protocols.get(plan.spec.protocol) if isinstance(task, AccuracyTask) else None
