"""Entering a surface in a process of its own, as the command does it: what ends that process ends no other.

The process is forked, so that what is imported here is imported there, and takes many inputs, since forking
takes longer than most of them. Whatever is found wrong is entered again in a new one.
"""

import json
import os
import resource
import signal
import traceback
import weakref
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path

from surface import Enter

from modeltest.api import ModelTestError, error_by_name

WALL_S = 200
MOST_INPUTS = 200
"""What one process takes: whatever inputs leave behind there does not grow for ever."""

_PAGE_BYTES = resource.getpagesize()


class Ended(Exception):
    """The process ended as no command may: a signal, an endless loop, an error that says nothing."""


@dataclass(frozen=True)
class Bounds:
    """What one input may take: processor time and memory; more of either ends the process."""

    cpu_s: float = 20.0
    memory_bytes: int = 4 << 30


def in_child(
    enter: Enter,
    *,
    on_death: Callable[[int], ModelTestError] | None = None,
    bounds: Bounds = Bounds(),
) -> Enter:
    """Return what enters in a child; `on_death` is what the command makes of a child that a signal ended."""
    child: _Child | None = None

    def entered(data: bytes) -> None:
        nonlocal child
        if child is None or child.is_used_up:
            child = _Child(enter, bounds)
        is_first = child.inputs == 0
        try:
            answer = child.answer(data)
            if not is_first and "wrong" in answer:
                child = _Child(enter, bounds)
                alone = child.answer(data)
                if "wrong" not in alone:
                    raise Ended(f"only after other inputs: {answer['wrong']}")
                answer = alone
        except _Killed as problem:
            if on_death is not None:
                raise on_death(problem.number) from None
            raise Ended(str(problem)) from None
        if "wrong" in answer:
            raise Ended(answer["wrong"])
        if "kind" in answer:
            error = error_by_name(answer["kind"])(answer["text"])
            error.exit_code = answer["status"]
            raise error

    return entered


class _Killed(Exception):
    """A signal ended the process."""

    def __init__(self, number: int) -> None:
        super().__init__(f"killed by {signal.Signals(number).name}")
        self.number = number


class _Child:
    """A process that enters inputs until its connection is closed."""

    def __init__(self, enter: Enter, bounds: Bounds) -> None:
        ours, theirs = Pipe()
        self.inputs = 0
        self._pid = os.fork()
        if self._pid == 0:
            for other in _CHILDREN:  # or they would not see that it is closed
                other._connection.close()
            ours.close()
            _serve(enter, bounds, theirs)
        theirs.close()
        self._connection = ours
        self._end = weakref.finalize(self, _end, self._pid, ours)
        _CHILDREN.add(self)

    @property
    def is_used_up(self) -> bool:
        """Whether the next input wants another process."""
        return self.inputs >= MOST_INPUTS or not self._end.alive

    def answer(self, data: bytes) -> Mapping[str, object]:
        """Return what comes of an input. Raises: `_Killed`; `Ended` when nothing comes."""
        self.inputs += 1
        try:
            self._connection.send_bytes(data)
            if not self._connection.poll(WALL_S):
                os.kill(self._pid, signal.SIGKILL)
                self._end()
                raise Ended(f"endless: {WALL_S} s on the clock")
            return json.loads(self._connection.recv_bytes())
        except (EOFError, ConnectionError):
            status = self._end()
            if os.WIFSIGNALED(status):
                raise _Killed(os.WTERMSIG(status)) from None
            raise Ended(f"ended with {os.waitstatus_to_exitcode(status)}, nothing said") from None


_CHILDREN: weakref.WeakSet[_Child] = weakref.WeakSet()


def _end(pid: int, connection: Connection) -> int:
    connection.close()
    return os.waitpid(pid, 0)[1]


def _serve(enter: Enter, bounds: Bounds, connection: Connection) -> None:
    """Enter what comes, in the child; never returns."""
    try:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGPROF, signal.SIG_DFL)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        held = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0]) * _PAGE_BYTES
        resource.setrlimit(resource.RLIMIT_AS, (held + bounds.memory_bytes, resource.RLIM_INFINITY))
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 1)
        os.dup2(nowhere, 2)
        while True:
            data = connection.recv_bytes()
            signal.setitimer(signal.ITIMER_PROF, bounds.cpu_s)
            answer = _entered_here(enter, data)
            signal.setitimer(signal.ITIMER_PROF, 0)
            connection.send_bytes(json.dumps(answer).encode())
    except EOFError:
        os._exit(0)
    finally:
        os._exit(1)


def _entered_here(enter: Enter, data: bytes) -> dict[str, object]:
    try:
        enter(data)
    except ModelTestError as problem:
        return {"kind": type(problem).__name__, "text": str(problem), "status": problem.exit_code}
    except BaseException as problem:
        last = traceback.extract_tb(problem.__traceback__)[-1]
        text = f"{type(problem).__name__} in {Path(last.filename).name}:{last.lineno}: {str(problem)[:150]}"
        return {"wrong": text}
    return {}
