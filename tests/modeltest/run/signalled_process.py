"""A command that gets signals: started as a shell would, watched from outside, and what is left of it."""

import fcntl
import os
import signal
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

COMMAND = [sys.executable, "-m", "modeltest"]
PATIENCE_S = 600
POLL_S = 0.02
MARK = "SIGNAL_TRIAL"
"""A variable of every process of a trial, which says of whichever is left whose it is."""

CTRL_C = b"\x03"
WORKERS = ("modeltest.run.worker.worker", "modeltest.run.nodes.ranks")


class SignalledProcess:
    """A command in a process group of its own, which is in the foreground of its terminal if it has one."""

    def __init__(self, words: list[str], *, cwd: Path, mark: str, on_terminal: bool, errors: Path) -> None:
        self._mark = f"{MARK}={mark}".encode()
        self._errors = errors
        self._terminal: int | None = None
        variables = {**os.environ, MARK: mark}
        if on_terminal:
            self._terminal, ours = os.openpty()
            self.process = subprocess.Popen(
                [*COMMAND, *words],
                cwd=cwd,
                env=variables,
                stdin=ours,
                stdout=ours,
                stderr=ours,
                start_new_session=True,
                # No other thread is there: that of the terminal before has ended.
                preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),  # noqa: PLW1509
            )
            os.close(ours)
            self._reading = threading.Thread(target=self._read_terminal, args=(os.dup(self._terminal),))
            self._reading.start()
            return
        with errors.open("wb") as said:
            self.process = subprocess.Popen(
                [*COMMAND, *words],
                cwd=cwd,
                env=variables,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=said,
                start_new_session=True,
            )

    @property
    def is_alive(self) -> bool:
        """Say whether it runs: what has ended gets no signal, though nobody has waited for it."""
        return self.process.poll() is None

    @property
    def has_begun(self) -> bool:
        """Say whether ModelTest has taken the signals over: Python itself leaves SIGTERM to the kernel."""
        for line in _status_lines(self.process.pid):
            if line.startswith("SigCgt:"):
                return bool(int(line.split()[1], 16) >> (signal.SIGTERM - 1) & 1)
        return False

    @property
    def text(self) -> str:
        """What it wrote to standard error, or to its terminal."""
        return self._errors.read_text(errors="replace") if self._errors.exists() else ""

    def workers(self) -> list[int]:
        """Return its workers that run."""
        return [pid for pid in _children(self.process.pid) if _is_worker(pid) and is_running(pid)]

    def wait_for(self, is_so: Callable[[], bool], seconds: float = PATIENCE_S) -> bool:
        """Wait until something is so, and say whether it is, before the command ended."""
        deadline = time.monotonic() + seconds
        while self.is_alive and time.monotonic() < deadline:
            if is_so():
                return True
            time.sleep(POLL_S)
        return False

    def send(self, number: int, to: str) -> bool:
        """Send a signal and say whether it reached somebody who ran.

        `to` is `process`, `group`, `worker` (its process alone) or `terminal`: there SIGINT is the key, and
        SIGHUP the end of the terminal.
        """
        if not self.is_alive:
            return False
        if to == "worker":
            reached = [_sent(pid, number) for pid in self.workers()]
            return any(reached)
        if to == "terminal" and number == signal.SIGINT:
            return self._press(CTRL_C)
        if to == "terminal" and number == signal.SIGHUP:
            self._hang_up()
            return True
        if to == "group":
            return _sent_to_group(self.process.pid, number)
        return _sent(self.process.pid, number)

    def end(self) -> int:
        """Wait for its end and return its status."""
        try:
            return self.process.wait(timeout=PATIENCE_S)
        finally:
            if self.process.poll() is None:
                os.killpg(self.process.pid, signal.SIGKILL)
                self.process.wait()
            self._hang_up()

    def left(self) -> list[int]:
        """Return the processes that it has started, whoever they belong to now, and that still run."""
        return [pid for pid in _all_pids() if pid != os.getpid() and self._is_of_it(pid) and is_running(pid)]

    def await_nothing_left(self, seconds: float) -> float | None:
        """Return how many seconds it took until nothing was left; `None` when something is."""
        begin = time.monotonic()
        while self.left():
            if time.monotonic() > begin + seconds:
                return None
            time.sleep(POLL_S)
        return time.monotonic() - begin

    def _is_of_it(self, pid: int) -> bool:
        try:
            return self._mark in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
        except OSError:
            return False

    def _press(self, key: bytes) -> bool:
        assert self._terminal is not None
        os.write(self._terminal, key)
        return True

    def _hang_up(self) -> None:
        terminal, self._terminal = self._terminal, None
        if terminal is not None:
            os.close(terminal)
            self._reading.join()

    def _read_terminal(self, terminal: int) -> None:
        """Keep what is written to the terminal, until we have hung up."""
        with self._errors.open("wb") as said:
            while self._terminal is not None:
                _copy(terminal, said)
            _copy(terminal, said)
        os.close(terminal)


def _copy(terminal: int, said: IO[bytes]) -> None:
    os.set_blocking(terminal, False)
    try:
        said.write(os.read(terminal, 1 << 16))
        said.flush()
    except BlockingIOError:
        time.sleep(POLL_S)
    except OSError:  # nobody has it open at the other end
        time.sleep(POLL_S)


def is_running(pid: int) -> bool:
    """Say whether a process runs: one that nobody has waited for yet does not."""
    lines = list(_status_lines(pid))
    return bool(lines) and not any(line.startswith(("State:\tZ", "State:\tX")) for line in lines)


@contextmanager
def alone(process: SignalledProcess) -> Iterator[SignalledProcess]:
    """Leave nothing of a command behind, whatever happens."""
    try:
        yield process
    finally:
        if process.is_alive:
            os.killpg(process.process.pid, signal.SIGKILL)
            process.end()
        for pid in process.left():
            _sent(pid, signal.SIGKILL)


def _status_lines(pid: int) -> Iterator[str]:
    with suppress(OSError):
        yield from Path(f"/proc/{pid}/status").read_text().splitlines()


def _children(pid: int) -> list[int]:
    try:
        return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def _is_worker(pid: int) -> bool:
    try:
        return any(
            name.encode() in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0") for name in WORKERS
        )
    except OSError:
        return False


def _all_pids() -> list[int]:
    return [int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit()]


def _sent(pid: int, number: int) -> bool:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return False
    return True


def _sent_to_group(group: int, number: int) -> bool:
    try:
        os.killpg(group, number)
    except ProcessLookupError:
        return False
    return True
