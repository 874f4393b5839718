"""Work on files from elsewhere in a process of its own, within limits of time and memory.

Libraries in C++ and Rust panic, crash, loop or ask for all the memory there is over some damaged files. What
opens such a file in the process of a command takes the command along; here it ends with a reason instead.

A module whose work is done so has two functions: `prepare()` imports what it needs, which counts for no
bound, and `answer(request)` returns what it finds, both as plain JSON values. The process is asked line by
line: a request with its limits, and in return `{"answer"}`, `{"error", "text"}` for a `ModelTestError`, or
`{"fault"}`.
"""

from __future__ import annotations

import json
import os
import resource
import select
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from types import ModuleType, TracebackType
from typing import Any

from modeltest.api import error_by_name
from modeltest.start import python_command

_WAIT_FACTOR = 10
"""The clock may show as much more than the processor time: of slow disks and busy machines."""

_START_S = 600.0
"""How long the process may take to start, importing libraries from a slow disk."""

_READ_BYTES = 1 << 20


class ProcessEnded(Exception):
    """The process came to no answer; the message says why, as the rest of a sentence on the file."""


@dataclass(frozen=True, slots=True)
class ProcessLimits:
    """What one request may take: processor time, and memory beyond what the process has when it is ready."""

    cpu_s: float
    memory_bytes: int


class OwnProcess:
    """A process that answers for one module; use it as a context manager, which ends it."""

    def __init__(self, module: str) -> None:
        self._process = subprocess.Popen(
            python_command(__name__, module),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        self._unread = b""
        self._is_ready = False

    def __enter__(self) -> OwnProcess:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def ask(self, request: object, limits: ProcessLimits) -> Any:
        """Return what the module's `answer` returns.

        Raises: the ModelTestError that it raises; ProcessEnded when it ended otherwise, or outran `limits`.
        """
        if not self._is_ready:
            self._hear(_START_S)
            self._is_ready = True
        asked = {"request": request, "cpu_s": limits.cpu_s, "memory_bytes": limits.memory_bytes}
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):  # why it is gone is found when its answer does not come
            self._process.stdin.write(json.dumps(asked).encode() + b"\n")
            self._process.stdin.flush()
        answer = self._hear(_WAIT_FACTOR * limits.cpu_s)
        if "error" in answer:
            raise error_by_name(answer["error"])(answer["text"])
        return answer["answer"]

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        for pipe in (self._process.stdin, self._process.stdout):
            with suppress(OSError):  # what was not yet written has no reader any more
                if pipe is not None:
                    pipe.close()
        self._process.wait()

    def _hear(self, wait_s: float) -> Mapping[str, Any]:
        assert self._process.stdout is not None
        pipe, deadline = self._process.stdout.fileno(), time.monotonic() + wait_s
        while b"\n" not in self._unread:
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([pipe], [], [], left)[0]:
                raise ProcessEnded(f"it was not done in {wait_s:.0f} s")
            if not (read := os.read(pipe, _READ_BYTES)):
                raise ProcessEnded(_reason(self._process.wait()))
            self._unread += read
        line, _, self._unread = self._unread.partition(b"\n")
        answer: Mapping[str, Any] = json.loads(line)
        if "fault" in answer:
            raise ProcessEnded(answer["fault"])
        return answer


def _reason(status: int) -> str:
    if status == -signal.SIGPROF:
        return "it takes more processor time than any such file does"
    if status == -signal.SIGKILL:
        return "its process was killed, for want of memory perhaps"
    if status < 0:
        with suppress(ValueError):
            return f"a library crashed over it ({signal.Signals(-status).name})"
    return f"its process ended with status {status}"


def main(arguments: list[str]) -> int:
    """Answer for the module of that name until standard input ends."""
    for number in (signal.SIGINT, signal.SIGHUP):  # whoever started this decides when to end
        signal.signal(number, signal.SIG_IGN)
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a library prints is no answer
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    module = import_module(arguments[0])
    module.prepare()
    _say(answers, {})
    for line in sys.stdin.buffer:
        asked = json.loads(line)
        _bound_memory(asked["memory_bytes"])
        # Its default action ends this process, also in the middle of one long call into a library.
        signal.setitimer(signal.ITIMER_PROF, asked["cpu_s"])
        said = _answer(module, asked["request"])
        signal.setitimer(signal.ITIMER_PROF, 0)
        _say(answers, said)
    return 0


def _answer(module: ModuleType, request: object) -> Mapping[str, object]:
    from modeltest.api import ModelTestError

    try:
        return {"answer": module.answer(request)}
    except ModelTestError as problem:
        return {"error": type(problem).__name__, "text": str(problem)}
    except MemoryError:
        return {"fault": "it needs more memory than any such file does"}
    except BaseException as problem:  # libraries in Rust panic with one that is no Exception
        return {"fault": f"{type(problem).__name__}: {' '.join(str(problem).split()):.200}"}


def _bound_memory(more_bytes: int) -> None:
    held = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0]) * resource.getpagesize()
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    wanted = held + more_bytes
    resource.setrlimit(
        resource.RLIMIT_AS, (wanted if hard == resource.RLIM_INFINITY else min(wanted, hard), hard)
    )


def _say(answers: Any, value: Mapping[str, object]) -> None:
    answers.write(json.dumps(value).encode() + b"\n")
    answers.flush()
