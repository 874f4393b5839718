"""Running a command to its end with its time and its peak memory."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

_KIB = 1024
_LAST_LINES = 15


class CommandFailed(Exception):
    """A command did not end with status 0."""


@dataclass(frozen=True, slots=True)
class Finished:
    """What a command took. `peak_bytes` is that of the largest single process it consisted of."""

    wall_s: float
    peak_bytes: int


def run_command(
    command: Sequence[str], *, environment: Mapping[str, str], log: Path, folder: Path | None = None
) -> Finished:
    """Run `command` in `folder` (here), with its output in `log`, and return what it took.

    The kernel reports the resident peak of the command and of the processes it waited for, but never less
    than that of the process which starts it: that one has to stay small and imports nothing heavy.

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
            _, status, usage = os.wait4(process.pid, 0)
        except BaseException:
            process.terminate()
            process.wait()
            raise
    wall_s = time.perf_counter() - begin
    process.returncode = os.waitstatus_to_exitcode(status)  # it is reaped: Popen must not wait for it
    if process.returncode != 0:
        raise CommandFailed(
            f"{' '.join(command[:4])} ... ended with status {process.returncode}; "
            f"the end of {log}:\n{_last_lines(log)}"
        )
    return Finished(wall_s, usage.ru_maxrss * _KIB)


def _last_lines(log: Path) -> str:
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    return "\n".join(lines[-_LAST_LINES:])
