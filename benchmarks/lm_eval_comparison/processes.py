"""Running a command to its end with its time and its peak memory."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from lm_eval_comparison.memory import PeakMemory, process_tree

_LAST_LINES = 15


class CommandFailed(Exception):
    """A command did not end with status 0."""


@dataclass(frozen=True, slots=True)
class Finished:
    """What a command took. `peak_bytes` is that of all its processes together; `None` where unknown."""

    wall_s: float
    peak_bytes: int | None


def run_command(
    command: Sequence[str],
    *,
    environment: Mapping[str, str],
    log: Path,
    folder: Path | None = None,
    limit_s: float | None = None,
) -> Finished:
    """Run `command` in `folder` (here), with its output in `log`, and return what it took.

    After `limit_s` it is ended, with all that it has started.

    Raises: CommandFailed with the end of the log.
    """
    begin = time.perf_counter()
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env={**os.environ, **environment},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        try:
            with PeakMemory(process.pid) as memory:
                status = process.wait(limit_s)
                wall_s = time.perf_counter() - begin
        except subprocess.TimeoutExpired as problem:
            _end(process)
            raise CommandFailed(
                f"{' '.join(command[:4])} ... was ended after {limit_s:.0f} s; the end of {log}:\n"
                f"{_last_lines(log)}"
            ) from problem
        except BaseException:
            process.terminate()
            process.wait()
            raise
    if status != 0:
        raise CommandFailed(
            f"{' '.join(command[:4])} ... ended with status {status}; the end of {log}:\n{_last_lines(log)}"
        )
    return Finished(wall_s, memory.peak_bytes)


def _end(process: subprocess.Popen[bytes]) -> None:
    """End `process` and all below it: what holds a device would be in the way of all that follows."""
    for pid in process_tree(process.pid):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    process.wait()


def _last_lines(log: Path) -> str:
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    return "\n".join(lines[-_LAST_LINES:])
