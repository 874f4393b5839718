"""The worker as a process: started in a group of its own, and ended together with all it has started."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import IO

GRACE_S = 10.0
"""How long a worker that is asked to end may take before it is killed."""

_POLL_S = 0.02


def start_worker(
    command: Sequence[str], environment: Mapping[str, str], output: IO[bytes]
) -> subprocess.Popen[bytes]:
    """Start a worker by `command`, as the leader of a new session and process group."""
    return subprocess.Popen(
        command,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )


def has_ended(process: subprocess.Popen[bytes]) -> bool:
    """Say whether `process` has ended, without taking its status: until then its group keeps its id."""
    if process.returncode is not None:
        return True
    return os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def stop(process: subprocess.Popen[bytes]) -> int:
    """End a worker and whatever it started, by SIGTERM and then by SIGKILL, and return its exit status.

    Raises: KeyboardInterrupt when one comes in between; the worker is then ended at once.
    """
    # Not SIGINT: a shell starts background jobs with SIGINT ignored, and so would the worker be.
    _signal_group(process, signal.SIGTERM)
    _signal_group(process, signal.SIGCONT)  # a stopped process takes no other signal
    try:
        _await_end(process, GRACE_S)
    finally:
        status = reap(process)
    return status


def reap(process: subprocess.Popen[bytes]) -> int:
    """Kill what is left of the worker's group and return the worker's exit status, as `subprocess` has it."""
    _signal_group(process, signal.SIGKILL)
    return process.wait()


def _await_end(process: subprocess.Popen[bytes], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not has_ended(process) and time.monotonic() < deadline:
        time.sleep(_POLL_S)


def _signal_group(process: subprocess.Popen[bytes], number: int) -> None:
    if process.returncode is not None:
        return  # its id may be another's by now
    # macOS answers PermissionError for a group of which only a zombie is left.
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, number)
