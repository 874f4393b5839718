"""Entering a surface in a process of its own, as the command does it: what ends that process ends no other.

The process is forked, so that what is imported here is imported there.
"""

import json
import os
import resource
import select
import signal
import time
import traceback
from collections.abc import Callable
from pathlib import Path

from surface import Enter

from modeltest.api import ModelTestError
from modeltest.api.errors import error_by_name

CPU_S = 20
WALL_S = 200
MEMORY_BYTES = 4 << 30
_PAGE_BYTES = resource.getpagesize()


class Ended(Exception):
    """The process ended as no command may: a signal, an endless loop, an error that says nothing."""


def in_child(enter: Enter, *, on_death: Callable[[int], ModelTestError] | None = None) -> Enter:
    """Return what enters in a child; `on_death` is what the command makes of a child that a signal ended."""

    def entered(data: bytes) -> object:
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(reading)
            os._exit(_entered_here(enter, data, writing))
        os.close(writing)
        said, is_late = _read(reading, child)
        _, status = os.waitpid(child, 0)
        if is_late:
            raise Ended(f"endless: {WALL_S} s on the clock")
        if os.WIFSIGNALED(status):
            number = os.WTERMSIG(status)
            if on_death is not None:
                raise on_death(number)
            raise Ended(f"killed by {signal.Signals(number).name}")
        answer = json.loads(said)
        if "wrong" in answer:
            raise Ended(answer["wrong"])
        if "kind" in answer:
            problem = error_by_name(answer["kind"])(answer["text"])
            problem.exit_code = answer["status"]
            raise problem
        return None

    return entered


def _entered_here(enter: Enter, data: bytes, writing: int) -> int:
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGPROF, signal.SIG_DFL)
    signal.setitimer(signal.ITIMER_PROF, CPU_S)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    held = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0]) * _PAGE_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (held + MEMORY_BYTES, resource.RLIM_INFINITY))
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)
    answer: dict[str, object] = {}
    try:
        enter(data)
    except ModelTestError as problem:
        answer = {"kind": type(problem).__name__, "text": str(problem), "status": problem.exit_code}
    except BaseException as problem:
        last = traceback.extract_tb(problem.__traceback__)[-1]
        answer = {
            "wrong": f"{type(problem).__name__} in {Path(last.filename).name}:{last.lineno}: "
            f"{str(problem)[:150]}"
        }
    os.write(writing, json.dumps(answer).encode()[:60_000])
    return 0


def _read(reading: int, child: int) -> tuple[bytes, bool]:
    deadline = time.monotonic() + WALL_S
    said = b""
    is_late = False
    while True:
        left = deadline - time.monotonic()
        if left <= 0 or not select.select([reading], [], [], left)[0]:
            os.kill(child, signal.SIGKILL)
            is_late = True
            break
        if not (read := os.read(reading, 1 << 16)):
            break
        said += read
    os.close(reading)
    return said, is_late
