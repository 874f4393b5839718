"""A replica's process, as the worker sees it."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress

from engines.vllm.replicas.words import Asked, Line, Reply, Word

_MOMENT_S = 3.0
"""A process ends a little after its socket has closed."""

_CODE = (
    "import sys; sys.path[:] = sys.argv[2:]; "
    "from engines.vllm.replicas.replica import main; main(int(sys.argv[1]))"
)
"""Imports from where this process does: not from the current directory, as `python -m` might."""


class ReplicaProcess:
    """One process. It belongs to the worker's group, and ends when the worker's end of the socket closes."""

    def __init__(
        self, number: int, variables: Mapping[str, str], told: Callable[[int, Reply | None], None]
    ) -> None:
        """Start it with `variables` beside those of this process.

        `told` is called, in a thread, with its `number` and each thing it says, and with `None` when it says
        no more.
        """
        self.number = number
        self._socket, theirs = socket.socketpair()
        with theirs:
            descriptor = theirs.fileno()
            self._process = subprocess.Popen(
                [sys.executable, "-c", _CODE, str(descriptor), *sys.path],
                env={**os.environ, **variables},
                stdin=subprocess.DEVNULL,
                pass_fds=(descriptor,),
            )
        self._line = Line(self._socket)
        self._listening = threading.Thread(target=self._listen, args=(told,), daemon=True)
        self._listening.start()

    def ask(self, asked: Asked) -> bool:
        """Ask it for something; `False`: nobody is there."""
        try:
            self._line.say(asked)
        except OSError:
            return False
        return True

    def how_it_ended(self) -> str:
        """Return how the process ended, in a few words; one that has not is given a moment."""
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(_MOMENT_S)
        status = self._process.returncode
        if status is None:
            return "says no more"
        if status < 0:
            return f"was killed by {signal.Signals(-status).name}"
        return f"has ended with status {status} (more is in the run's log.txt)"

    @property
    def is_alive(self) -> bool:
        """Whether the process runs."""
        return self._process.poll() is None

    def dismiss(self) -> None:
        """Let it end, when it has done what it was asked for."""
        self.ask(Asked(Word.END))

    def interrupt(self) -> None:
        """Ask it to end in the middle of whatever it does."""
        self._process.terminate()

    def close(self, deadline: float) -> None:
        """Wait for its end until `deadline`, of the monotonic clock; kill what has not ended."""
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(max(deadline - time.monotonic(), 0.0))
        if self._process.returncode is None:
            self._process.kill()
        self._process.wait()
        # Its ranks may have the other end open still.
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._listening.join()
        self._socket.close()

    def _listen(self, told: Callable[[int, Reply | None], None]) -> None:
        with suppress(ValueError, OSError):  # what cannot be read is as good as nothing
            while (reply := self._line.hear(Reply)) is not None:
                told(self.number, reply)
        told(self.number, None)
