"""Follows a worker to its end and starts another in its place where that may help.

It imports neither torch nor an engine's heavy parts: whatever happens to the worker, the supervisor lives
to say so.
"""

from __future__ import annotations

import os
import select
import subprocess
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import IO

from modeltest.api import HarnessTask, ModelTestError
from modeltest.cluster.place import TABLE_VARIABLE, node_of, node_variables
from modeltest.run.deadlines import Deadlines, Limits
from modeltest.run.directory import LOG_FILE
from modeltest.run.engine_files import engine_files
from modeltest.run.events import VARIABLE, EventReader
from modeltest.run.journal import FILE_NAME, count_entries
from modeltest.run.losses import WorkerEnd, describe, failure_of, interruption, may_be_reloaded, succeeded
from modeltest.run.oom_killer import oom_kills
from modeltest.run.plan import Plan, can_go_on
from modeltest.run.ranks import worker_command
from modeltest.run.tracing import VARIABLE as TRACE_FOLDER
from modeltest.run.watch import Watch, utc_now
from modeltest.run.worker_process import has_ended, reap, start_worker, stop

MAX_RELOADS = 2
"""How many workers may take the place of a lost one before a run is given up; none where each node would have
to start another at the same time."""

POLL_S = 0.2
"""How often a silent worker is checked for life."""

PIPE_FILE = ".events"


def supervise(
    plan: Plan, watch: Watch, log: IO[bytes], limits: Limits, *, trace_folder: Path | None = None
) -> None:
    """Have workers carry out `plan` until the work is done, and write profiler traces into `trace_folder`.

    A worker lost to a signal, a hang or its device is replaced at most `MAX_RELOADS` times, and its
    successor goes on from the journal.

    Raises: the error the last worker reported, or one that says how it was lost.
    """
    reloads = MAX_RELOADS if plan.spec.cluster is None else 0
    for reload in range(1, reloads + 2):
        with engine_files(plan, watch.directory) as of_files:
            own = {**of_files, TRACE_FOLDER: str(trace_folder or "")}
            end = _run_worker(plan, watch, log, limits, own=own)
        if succeeded(end):
            if end.status:
                watch.progress.line(f"the worker {describe(end)} when all was done")
            return
        if not may_be_reloaded(end) or not can_go_on(plan.task):
            break
        if not isinstance(plan.task, HarnessTask):
            watch.done = count_entries(watch.directory / FILE_NAME)  # its last event may be missing
        watch.interrupt(interruption(end, watch.flight, time=utc_now(), done=watch.done, where=watch.where))
        if reload <= reloads:
            lost = watch.result.interruptions[-1]
            watch.progress.line(f"{lost.reason}; reload {reload} of {reloads}{_given_up(lost.given_up)}")
    raise failure_of(end, where=watch.where, hint=_hint(plan, watch))


def _given_up(is_given_up: bool) -> str:
    return ", without what was being run" if is_given_up else ""


def _hint(plan: Plan, watch: Watch) -> str:
    log = f"its output is in {watch.directory / LOG_FILE}"
    if not can_go_on(plan.task):
        return log
    if node_of(plan.spec):
        return f"the first node has the journal; {log}"
    if plan.spec.cluster is not None:
        log = f"on the other nodes the same command again; {log}"
    return f"`modeltest run --resume {watch.directory}` goes on from there; {log}"


def _run_worker(
    plan: Plan, watch: Watch, log: IO[bytes], limits: Limits, *, own: Mapping[str, str]
) -> WorkerEnd:
    pipe = watch.directory / PIPE_FILE
    pipe.unlink(missing_ok=True)  # of a supervisor that was killed
    reader = EventReader(pipe)
    watch.begin_worker()
    kills_before = oom_kills()
    try:
        process = start_worker(
            worker_command(watch.directory, plan.spec, limits), _environment(plan, pipe, own), log
        )
        deadlines = Deadlines(limits, has_batches=can_go_on(plan.task) and node_of(plan.spec) == 0)
        hang = _follow(process, reader, watch, deadlines)
        return WorkerEnd(
            status=stop(process) if hang else reap(process),
            hang=hang,
            was_oom_killed=(oom_kills() or 0) > (kills_before or 0),
            said=watch.failure,
            is_done=watch.is_done,
            is_started=watch.is_started,
            rank=watch.lost_rank,
        )
    finally:
        reader.close()
        pipe.unlink(missing_ok=True)


def _environment(plan: Plan, pipe: Path, own: Mapping[str, str]) -> dict[str, str]:
    # A folder such as transformers/ in the current directory must not stand in for the package.
    fixed = {"PYTHONSAFEPATH": "1", "PYTHONUNBUFFERED": "1", VARIABLE: str(pipe)}
    of_task = plan.task.environment(plan.spec) if isinstance(plan.task, HarnessTask) else {}
    found = {name: value for name, value in os.environ.items() if name != TABLE_VARIABLE}
    of_node = node_variables(plan.spec, plan.table, os.environ)
    of_engine = plan.engine.environment(plan.spec, plan.model)
    return {**found, **of_engine, **of_node, **own, **of_task, **fixed}


def _follow(
    process: subprocess.Popen[bytes], reader: EventReader, watch: Watch, deadlines: Deadlines
) -> str | None:
    """Take in events until the worker has ended, and return `None`, or is overdue, and return with what."""
    try:
        while not has_ended(process):
            if select.select([reader], [], [], POLL_S)[0]:
                _take_in(reader, watch, deadlines)
                time.sleep(0.01)  # an open pipe without a writer is always readable
            deadlines.tick(time.monotonic())
            if hang := deadlines.overdue():
                return hang
        _take_in(reader, watch, deadlines)
    except BaseException:
        with suppress(KeyboardInterrupt):  # a second one only ends the patience
            stop(process)
        with suppress(ModelTestError):  # what is raised already says more
            _take_in(reader, watch, deadlines)
        raise
    return None


def _take_in(reader: EventReader, watch: Watch, deadlines: Deadlines) -> None:
    for event in reader.read():
        deadlines.hear(event["event"], event.get("name", ""))
        watch.handle(event)
