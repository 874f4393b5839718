"""A lock file, held as long as a process works on the folder it lies in."""

from __future__ import annotations

import fcntl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from modeltest.api import PrerequisiteError

LOCK_PATIENCE_S = 3.0
"""How long the worker of a killed supervisor may take to notice and end."""


_BUSY = "another process is at work on {folder}; wait for its end, or end it"


@contextmanager
def hold(path: Path, *, busy: str = _BUSY) -> Iterator[IO[bytes]]:
    """Open `path` to append to it and lock its folder for others.

    A process started inside inherits the lock, and one that works for the holder may share it (`LOCK_SH`).
    `busy` is what to say where somebody else has it, with `{folder}` for the folder.

    Raises: PrerequisiteError when it cannot be written, or stays locked.
    """
    try:
        file = path.open("ab")
    except OSError as problem:
        raise PrerequisiteError(f"cannot write {path}: {problem.strerror}") from problem
    with file:
        deadline = time.monotonic() + LOCK_PATIENCE_S
        while not _lock(file):
            if time.monotonic() > deadline:
                raise PrerequisiteError(busy.replace("{folder}", str(path.parent)))
            time.sleep(0.1)
        yield file


def _lock(file: IO[bytes]) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # nobody else has it
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return True  # a file system without locks
    return True
