"""What a worker tells its supervisor while it runs: JSON lines through a named pipe.

A pipe rather than a file: it wakes the reader at once, needs no disk, and breaks when either end dies, so
that no worker outlives its supervisor unnoticed.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

VARIABLE = "MODELTEST_EVENTS"
"""The environment variable that names the pipe to a worker."""

Event = dict[str, Any]
"""`event` names the kind: phase, loaded, dataset, progress, timing, usage, error or done."""


class EventWriter:
    """The worker's end. Without a pipe (a worker started by hand) events go nowhere."""

    def __init__(self, path: str | None) -> None:
        self._descriptor = os.open(path, os.O_WRONLY) if path else None

    def send(self, event: str, **values: object) -> None:
        """Send one event; ends the process when nobody listens any more."""
        if self._descriptor is None:
            return
        line = json.dumps({"event": event, **values}, ensure_ascii=False).encode() + b"\n"
        try:
            while line:
                line = line[os.write(self._descriptor, line) :]
        except BrokenPipeError:
            raise SystemExit("the supervisor is gone") from None


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
