"""Follows the workers of a run to its end and starts another in the place of one that is lost.

It imports neither torch nor an engine's heavy parts: a crash of a library ends the worker, and the supervisor
reports it.
"""

from __future__ import annotations

from pathlib import Path
from typing import IO

from modeltest.api import Finding, FindingCode, HarnessTask
from modeltest.cluster.place import node_of
from modeltest.findings import sentence
from modeltest.run.planning.plan import Plan, can_go_on
from modeltest.run.planning.trust import resume_command
from modeltest.run.record.directory import LOG_FILE
from modeltest.run.record.journal import FILE_NAME, count_entries
from modeltest.run.supervisor.losses import describe, failure_of, interruption, may_be_reloaded, succeeded
from modeltest.run.supervisor.watch import Watch, utc_now
from modeltest.run.supervisor.workers import Workers

MAX_RELOADS = 2
"""How many workers may take the place of a lost one before a run is given up; none where each node would have
to start another at the same time."""


def supervise(
    plan: Plan, watch: Watch, log: IO[bytes], workers: Workers, *, trace_folder: Path | None = None
) -> None:
    """Have workers carry out `plan` until the work is done, and write profiler traces into `trace_folder`.

    A worker lost to a signal, a hang or its device is replaced at most `MAX_RELOADS` times, and its
    successor goes on from the journal.

    Raises: the error the last worker reported, or one that says how it was lost.
    """
    reloads = MAX_RELOADS if plan.spec.cluster is None else 0
    for reload in range(1, reloads + 2):
        end = workers.run(plan, watch, log, trace_folder=trace_folder)
        if succeeded(end):
            if end.status:
                watch.progress.line(sentence(describe(end, Finding(FindingCode.WHEN_ALL_WAS_DONE))))
            return
        if not may_be_reloaded(end) or not can_go_on(plan.task):
            break
        if not isinstance(plan.task, HarnessTask):
            watch.done = count_entries(watch.directory / FILE_NAME)  # its last event may not have arrived
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
    return f"`{resume_command(watch.directory, plan.spec)}` goes on from there; {log}"
