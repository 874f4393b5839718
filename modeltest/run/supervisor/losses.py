"""A worker that ended before its work was done: its description, and whether to start another. Pure."""

from __future__ import annotations

import signal
from dataclasses import dataclass

from modeltest.api import DeviceError, EngineError, Finding, FindingCode, Interruption, ModelTestError
from modeltest.findings import sentence

SIGNALLED = 128
"""What a shell adds to the number of the signal that ended a process."""


_CRASHES = frozenset({signal.SIGSEGV, signal.SIGBUS, signal.SIGABRT, signal.SIGILL, signal.SIGFPE})
"""What a process does to itself: a library crashed in it, over a file or a batch."""


@dataclass(frozen=True, slots=True)
class WorkerEnd:
    """How a worker process ended."""

    status: int
    """As `subprocess` has it: the number of a signal is negative."""

    hang: Finding | None = None
    """What it did not do in time; the supervisor ended it."""

    was_oom_killed: bool = False
    """The kernel killed something for want of memory while it ran."""

    said: ModelTestError | None = None
    """The error it reported."""

    is_done: bool = False
    """It said that its work was done."""

    is_started: bool = False
    """It said anything at all."""

    rank: int | None = None
    """The rank that was killed, of a worker that has several."""


@dataclass(frozen=True, slots=True)
class Flight:
    """What a worker had begun and not finished."""

    taken: int = 0
    """Questions its engine has taken in, answered or not."""

    batch: tuple[str, ...] = ()
    """The one batch or trial that was being run, where the worker names it."""

    is_retry: bool = False
    """`batch` was under way at an earlier loss too."""


def succeeded(end: WorkerEnd) -> bool:
    """Say whether the work is done, however the process exited: drivers crash and hang at exit."""
    return end.is_done


def may_be_reloaded(end: WorkerEnd) -> bool:
    """Say whether another worker may do better: after a signal, a hang or an error of the device.

    Any other error it reported would come again. One that says nothing may be a rank that was killed, but
    not when it never said anything: then it cannot even start.
    """
    if end.hang:
        return True
    if end.said is not None:
        return isinstance(end.said, DeviceError)
    return end.status < 0 or end.is_started


def describe(end: WorkerEnd, where: Finding) -> Finding:
    """Return what happened to the worker, and `where` in its work that was."""
    if end.hang:
        return Finding(FindingCode.WORKER_HUNG, {"overdue": end.hang, "where": where})
    if end.said is not None:
        return Finding(FindingCode.DEVICE_FAILED, {"error": str(end.said), "where": where})
    if end.status < 0:
        return Finding(
            FindingCode.WORKER_KILLED_FOR_MEMORY if _is_oom(end) else FindingCode.WORKER_KILLED,
            {"signal": _signal_name(-end.status), "rank": end.rank, "where": where},
        )
    return Finding(FindingCode.WORKER_EXITED, {"status": end.status, "where": where})


def interruption(end: WorkerEnd, flight: Flight, *, time: str, done: int, where: Finding) -> Interruption:
    """Return the record of a lost worker.

    What was being run is given up when it was under way at an earlier loss too, or when the kernel killed it
    for want of memory: a trial is then out of memory, and no other trial of that size needs to be lost.
    """
    given_up = bool(flight.batch) and (flight.is_retry or _is_oom(end))
    reason = describe(end, where)
    return Interruption(
        time=time,
        reason=sentence(reason),
        reason_code=reason,
        done=done,
        in_flight=0 if flight.batch else flight.taken,
        suspects=flight.batch,
        given_up=given_up,
        out_of_memory=given_up and end.status == -signal.SIGKILL and not end.hang,
    )


def failure_of(end: WorkerEnd, *, where: Finding, hint: str) -> ModelTestError:
    """Return the error to raise for a worker that is not replaced, with the exit status of the command."""
    if end.said is not None and not end.hang:
        failure = end.said
        failure.exit_code = end.status if end.status > 0 else end.said.exit_code
        return failure
    finding = Finding(FindingCode.WITH_HINT, {"about": describe(end, where), "hint": hint})
    is_of_engine = bool(end.hang) or -end.status in _CRASHES
    failure = (EngineError if is_of_engine else ModelTestError)(sentence(finding))
    failure.finding = finding
    if end.status and not is_of_engine:
        failure.exit_code = end.status if end.status > 0 else SIGNALLED - end.status
    return failure


def _is_oom(end: WorkerEnd) -> bool:
    return end.was_oom_killed and end.status == -signal.SIGKILL and not end.hang


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
