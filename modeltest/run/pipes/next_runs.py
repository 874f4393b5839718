"""How a supervisor that keeps a worker names the next run to it: JSON lines through a second named pipe."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from modeltest.run.pipes.events import EventWriter
from modeltest.run.pipes.variables import NEXT_RUNS
from modeltest.run.record.directory import LOG_FILE


class NextRunWriter:
    """The supervisor's end of a pipe at `path`, which it creates."""

    def __init__(self, path: Path) -> None:
        self._path = path
        path.unlink(missing_ok=True)  # of a supervisor that was killed
        os.mkfifo(path, mode=0o600)
        # Open at both ends, so that neither side ever waits for the other to open it.
        self._descriptor = os.open(path, os.O_RDWR | os.O_NONBLOCK)

    def send(self, directory: Path | None) -> None:
        """Tell the worker to carry out the run in `directory`, or to end."""
        os.write(self._descriptor, json.dumps(None if directory is None else str(directory)).encode() + b"\n")

    def close(self) -> None:
        """Close the pipe and remove it."""
        os.close(self._descriptor)
        self._path.unlink(missing_ok=True)


def next_runs(events: EventWriter) -> Iterator[Path]:
    """Yield the directories of further runs as the supervisor names them; none where a worker serves one run.

    The event `free` says that the worker waits for the next. From then on it writes into that run's log.
    """
    path = os.environ.get(NEXT_RUNS)
    if path is None:
        return
    with Path(path).open("rb") as pipe:
        while True:
            events.send("free")
            directory = json.loads(pipe.readline() or b"null")
            if directory is None:
                return
            _write_into_log(Path(directory))
            yield Path(directory)


def _write_into_log(directory: Path) -> None:
    """Make the run's log the output of this process, and share its lock with the supervisor."""
    with (directory / LOG_FILE).open("ab") as log:
        with suppress(OSError):  # a file system without locks
            fcntl.flock(log, fcntl.LOCK_SH | fcntl.LOCK_NB)
        for descriptor in (1, 2):
            os.dup2(log.fileno(), descriptor)
