"""What a worker tells its supervisor while it runs: JSON lines through a named pipe.

A pipe rather than a file: it wakes the reader at once, needs no disk, and breaks when either end dies, so
that no worker outlives its supervisor unnoticed.
"""

from __future__ import annotations

import errno
import json
import os
import select
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from modeltest.run.pipes.temporary_files import remove_temporary_files

Event = dict[str, Any]
"""`event` names the kind: heartbeat, phase, loaded, dataset, in_flight, progress, timing, usage, note, error,
lost, node_lost, done."""

HEARTBEAT_S = 1.0

GRACE_S = 10.0
"""How long a worker without a supervisor may take to end by itself."""


class EventWriter:
    """The worker's end: while it is open, the process ends at once when the supervisor closes the other.

    Without a pipe (a worker started by hand) events go nowhere.
    """

    def __init__(self, path: str | None) -> None:
        self._descriptor = _open_for_writing(path) if path else None
        self._one_at_a_time = threading.Lock()
        if path and self._descriptor is not None:
            threading.Thread(target=_end_with_reader, args=(self._descriptor, path), daemon=True).start()

    def start_heartbeat(self) -> None:
        """Send a heartbeat every `HEARTBEAT_S` from now on: this process lives and runs Python."""
        if self._descriptor is not None:
            threading.Thread(target=self._beat, daemon=True).start()

    def send(self, event: str, **values: object) -> None:
        """Send one event; any thread may."""
        if self._descriptor is None:
            return
        line = json.dumps({"event": event, **values}, ensure_ascii=False).encode() + b"\n"
        try:
            with self._one_at_a_time:
                while line:
                    line = line[os.write(self._descriptor, line) :]
        except BrokenPipeError:
            raise SystemExit("the supervisor is gone") from None

    def _beat(self) -> None:
        while True:
            self.send("heartbeat")
            time.sleep(HEARTBEAT_S)


def _open_for_writing(path: str) -> int:
    """Open a pipe whose reader was there before this process; waiting for one that died would take forever.

    Raises: SystemExit when it is gone.
    """
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_NONBLOCK)
    except OSError as problem:
        if problem.errno in (errno.ENXIO, errno.ENOENT):
            with suppress(OSError):
                Path(path).unlink()
            raise SystemExit("the supervisor is gone") from None
        raise
    os.set_blocking(descriptor, True)
    return descriptor


def _end_with_reader(descriptor: int, path: str) -> None:
    """End this process when the reader closes the pipe, also while a model loads or a batch runs."""
    watch = select.poll()
    watch.register(descriptor, 0)  # nothing but its end is of interest
    watch.poll()
    os.write(2, b"the supervisor is gone\n")
    with suppress(OSError):
        Path(path).unlink()
    remove_temporary_files()
    _signal_own(signal.SIGTERM)
    time.sleep(GRACE_S)  # an engine may clear away first; one that hangs in compiled code does not hear
    _signal_own(signal.SIGKILL)


def _signal_own(number: int) -> None:
    """Send a signal to this process and, if it leads a group, to all in it."""
    if os.getpgrp() == os.getpid():
        os.killpg(os.getpid(), number)
    os.kill(os.getpid(), number)


class EventReader:
    """The supervisor's end of a pipe at `path`, which it creates."""

    def __init__(self, path: Path) -> None:
        os.mkfifo(path, mode=0o600)
        self._descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        self._rest = b""

    def fileno(self) -> int:
        """Return the descriptor to wait on."""
        return self._descriptor

    def read(self) -> Iterator[Event]:
        """Yield the events that have arrived, without waiting."""
        while True:
            try:
                chunk = os.read(self._descriptor, 1 << 16)
            except BlockingIOError:
                return
            if not chunk:
                return
            *lines, self._rest = (self._rest + chunk).split(b"\n")
            for line in lines:
                yield json.loads(line)

    def close(self) -> None:
        """Close the pipe; a worker that writes afterwards ends."""
        os.close(self._descriptor)
