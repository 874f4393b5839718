"""One installer at a time: a lock on a file that every run of `run.sh` opens."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from modeltest.bootstrap.messages import NotReady, say


@contextmanager
def locked(path: Path) -> Iterator[TextIO]:
    """Hold the lock on `path`, made if need be, and give the open file. The system frees it on a crash.

    Raises: NotReady when the file cannot be made.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # Not through a link: the file may lie in a folder that everybody can write to.
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    except OSError as problem:
        raise NotReady(
            f"cannot write {path}: {problem.strerror}; MODELTEST_VENV names another place"
        ) from problem
    with os.fdopen(descriptor, "r+", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("another run.sh is installing; waiting for it")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield file
