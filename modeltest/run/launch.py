"""The supervisor: checks a spec, starts the worker process, watches it and finishes its run directory.

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
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import IO

from modeltest import __version__, registry
from modeltest.api import (
    AUTO_WORLD_SIZE,
    AccuracyTask,
    DatasetInfo,
    Engine,
    EngineInfo,
    EngineUsage,
    HarnessTask,
    ModelInfo,
    ModelTestError,
    PrerequisiteError,
    RunResult,
    RunSpec,
    Task,
    error_by_name,
    from_plain,
)
from modeltest.grammar.modes import adapters_of
from modeltest.models.checkpoint import inspect_checkpoint
from modeltest.run.directory import LOG_FILE, create_run_directory, read_result, write_result
from modeltest.run.events import VARIABLE, Event, EventReader
from modeltest.run.finish import finish
from modeltest.run.machine import describe_machine
from modeltest.run.progress import Progress

POLL_S = 0.2
"""How often a silent worker is checked for life."""

GRACE_S = 10.0
"""How long an interrupted worker may take to end before it is killed."""


@dataclass(frozen=True, slots=True)
class Plan:
    """A spec that was checked as far as that is possible without loading the model."""

    spec: RunSpec
    task: Task
    engine: Engine
    model: ModelInfo


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a run ended: the exit status of the command and the result, which names its files."""

    exit_code: int
    directory: Path
    result: RunResult


def plan(spec: RunSpec) -> Plan:
    """Choose the adapter and check everything that needs no model.

    Raises: SpecError, PrerequisiteError, EngineError.
    """
    task = registry.load_task(spec.task)
    _check_mode(spec, task)
    task.check(spec)
    engine = registry.load_engine(_choose_adapter(spec.engine))
    missing = task.requires(spec) - engine.capabilities
    if missing:
        names = ", ".join(sorted(capability.value for capability in missing))
        raise PrerequisiteError(f"engine {engine.name!r} cannot run {spec.mode}: it lacks {names}")
    model = inspect_checkpoint(spec) if engine.needs_weights else _no_checkpoint(spec)
    if spec.world_size == AUTO_WORLD_SIZE:
        spec = replace(spec, world_size=model.chips)
    engine.check(spec, model)
    return Plan(spec, task, engine, model)


def launch(plan: Plan, *, command: str | None, progress: Progress, verbose: bool = False) -> Outcome:
    """Run a plan in a worker process and write every file of its run directory.

    A worker that fails leaves its journal and a `run.json` that says why; the error is raised. With `verbose`
    the worker's output is shown when it has ended, however it has.

    Raises: the error the worker reported; ModelTestError when it died without a word.
    """
    started = datetime.now(timezone.utc)
    spec = plan.spec
    directory = create_run_directory(
        spec.output_dir, started=started, name=f"{spec.mode}_{plan.model.name}_{plan.engine.name}"
    )
    result = RunResult(
        spec=spec,
        started=started.isoformat(timespec="seconds"),
        status="running",
        model=plan.model,
        adapter=plan.engine.name,
        engine=None,
        dataset=None,
        machine=describe_machine(),
        command=command,
        modeltest_version=__version__,
        protocol_version=_protocol_version(plan),
    )
    progress.line(f"{spec.engine}: engine {plan.engine.name}, run directory {directory}")
    write_result(directory, result)
    watch = _Watch(directory, result, progress)
    try:
        exit_code = _run_worker(plan, watch)
    except BaseException as problem:
        reason = "interrupted" if isinstance(problem, KeyboardInterrupt) else str(problem)
        _write_failure(watch, status="partial", reason=reason)
        raise
    finally:
        progress.close()
        if verbose:
            progress.line(_log_text(directory))
    return _conclude(watch, exit_code)


class _Watch:
    """Follows the events of one worker and keeps `run.json` up to date with them."""

    def __init__(self, directory: Path, result: RunResult, progress: Progress) -> None:
        self.directory = directory
        self.result = result
        self.progress = progress
        self.failure: ModelTestError | None = None
        self.last_progress = "before its first batch"

    def handle(self, event: Event) -> None:
        kind = event["event"]
        if kind == "loaded":
            engine = from_plain(EngineInfo, event["engine"])
            self.result = replace(self.result, engine=engine)
            write_result(self.directory, self.result)
            self.progress.line(describe_engine(engine))
        elif kind == "dataset":
            self.result = replace(self.result, dataset=from_plain(DatasetInfo, event["dataset"]))
        elif kind == "usage":
            self.result = replace(self.result, usage=from_plain(EngineUsage, event["usage"]))
        elif kind == "timing":
            timing_s = {**self.result.timing_s, event["name"]: event["seconds"]}
            self.result = replace(self.result, timing_s=timing_s)
        elif kind == "phase":
            self.progress.phase(event["name"])
        elif kind == "progress":
            total = f" of {event['total']}" if event["total"] else ""
            self.last_progress = f"after {event['done']}{total} {event['unit']}"
            self.progress.update(event["done"], event["total"], event["unit"], event.get("note", ""))
        elif kind == "error":
            self.failure = error_by_name(event["type"])(event["message"])


def describe_engine(engine: EngineInfo) -> str:
    """Return one line on the engine, device and versions really used."""
    versions = ", ".join(f"{name} {version}" for name, version in engine.versions.items())
    used = f"engine {engine.engine} on {engine.device} in {engine.dtype}"
    return f"{used} ({versions})" if versions else used


def _run_worker(plan: Plan, watch: _Watch) -> int:
    with tempfile.TemporaryDirectory(prefix="modeltest-") as scratch, _log(watch.directory) as log:
        pipe = Path(scratch) / "events"
        reader = EventReader(pipe)
        try:
            process = subprocess.Popen(
                [sys.executable, "-m", "modeltest.run.worker", str(watch.directory)],
                env=_environment(plan, pipe),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            return _follow(process, reader, watch)
        finally:
            reader.close()


def _environment(plan: Plan, pipe: Path) -> dict[str, str]:
    # A folder such as transformers/ in the current directory must not stand in for the package.
    fixed = {"PYTHONSAFEPATH": "1", "PYTHONUNBUFFERED": "1", VARIABLE: str(pipe)}
    of_task = plan.task.environment(plan.spec) if isinstance(plan.task, HarnessTask) else {}
    return {**os.environ, **plan.engine.environment(plan.spec, plan.model), **of_task, **fixed}


def _follow(process: subprocess.Popen[bytes], reader: EventReader, watch: _Watch) -> int:
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


def _conclude(watch: _Watch, exit_code: int) -> Outcome:
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


def _finished(watch: _Watch) -> tuple[Path, RunResult]:
    try:
        write_result(watch.directory, replace(watch.result, status="complete"))
        return watch.directory, finish(read_result(watch.directory), watch.directory)
    except BaseException as problem:
        _write_failure(watch, status="failed", reason=str(problem))
        raise


def _write_failure(watch: _Watch, *, status: str, reason: str) -> None:
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


def _check_mode(spec: RunSpec, task: Task) -> None:
    """Refuse a mode word that the grammar knows and the task does not serve; a harness has no words at all.

    Raises: PrerequisiteError.
    """
    words = [mode.word for mode in task.modes]
    if words and spec.mode not in words:
        raise PrerequisiteError(
            f"mode {spec.mode!r} is not available yet; of {task.name}: {', '.join(words)}"
        )


def _choose_adapter(word: str) -> str:
    """Return the first installed adapter for an engine word.

    Raises: PrerequisiteError when none is installed.
    """
    wanted = adapters_of(word)
    installed = registry.engine_names()
    for name in wanted:
        if name in installed:
            return name
    raise PrerequisiteError(
        f"no engine for {word!r} is installed; it needs one of {', '.join(wanted)}, "
        f"installed are {', '.join(installed)}"
    )


def _protocol_version(plan: Plan) -> str | None:
    task = plan.task
    return task.protocols.get(plan.spec.protocol) if isinstance(task, AccuracyTask) else None


def _no_checkpoint(spec: RunSpec) -> ModelInfo:
    return ModelInfo(
        key=spec.model,
        name=spec.model,
        path=spec.weights,
        model_type="",
        dtype=spec.dtype,
        quantize=None,
        max_position_embeddings=spec.max_position_embeddings,
        block_size=128,
        chips=1,
        fingerprint=None,
    )
