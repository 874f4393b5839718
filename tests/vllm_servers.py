"""Real servers of vLLM for tests: one process group each, which ends with the test run however that ends.

The server is started by this file as a program (`python vllm_servers.py COMMAND`), which ends it, with what
it has started, when its standard input does: that is when the test run ends it, or is killed itself.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

MODEL_NAME = "smol"
START_S = 600
"""How long a server may take to answer: it imports from a cold disk and may compile."""

GRACE_S = 20
_POLL_S = 0.5
_SHOWN_LINES = 40

FLAGS = ("--dtype", "float32", "--max-model-len", "2048", "--enforce-eager", "--max-num-seqs", "16")
"""Small and soon ready; flags of a test come behind them, and the last of two counts."""


@dataclass(frozen=True, slots=True)
class VllmServer:
    """A server that answers."""

    root: str
    """Its address, such as http://127.0.0.1:8123."""

    model: str
    checkpoint: Path
    log: Path

    @property
    def url(self) -> str:
        """The address that clients of OpenAI's interface are given."""
        return f"{self.root}/v1"


@contextmanager
def serving(python: Path, checkpoint: Path, log: Path, flags: Sequence[str] = ()) -> Iterator[VllmServer]:
    """Serve `checkpoint` with the vLLM of `python` while the block lasts, on a free port of loopback.

    What it prints goes to `log`. The environment of the tests has the variables that it needs.

    Raises: AssertionError with the end of the log when it does not come to answer.
    """
    port = free_port()
    command = [str(python), "-m", "vllm.entrypoints.openai.api_server", "--model", str(checkpoint)]
    command += ["--served-model-name", MODEL_NAME, "--host", "127.0.0.1", "--port", str(port), *FLAGS, *flags]
    root = f"http://127.0.0.1:{port}"
    with kept(command, root, log):
        yield VllmServer(root, MODEL_NAME, checkpoint, log)


@contextmanager
def kept(
    command: Sequence[str], root: str, log: Path, variables: Mapping[str, str] | None = None
) -> Iterator[None]:
    """Run a server while the block lasts; it begins when `root`/health answers. What is printed is in `log`.

    Raises: AssertionError with the end of the log when it does not come to answer.
    """
    with log.open("wb") as output:
        keeper = subprocess.Popen(
            [sys.executable, __file__, *command],
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=output,
            env={**os.environ, **(variables or {})},
        )
    try:
        _await_health(root, log, keeper)
        yield
    finally:
        assert keeper.stdin is not None
        keeper.stdin.close()
        keeper.wait()


def free_port() -> int:
    """Return a port of loopback that nothing listens on."""
    import socket

    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return int(listening.getsockname()[1])


def _await_health(root: str, log: Path, keeper: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + START_S
    while not _is_healthy(root):
        ended = keeper.poll() is not None
        if ended or time.monotonic() > deadline:
            lines = log.read_text(encoding="utf-8", errors="replace").splitlines()[-_SHOWN_LINES:]
            why = "ended" if ended else f"did not answer within {START_S} s"
            raise AssertionError("\n".join([f"the server at {root} {why}; {log} ends with:", *lines]))
        time.sleep(_POLL_S)


def _is_healthy(root: str) -> bool:
    try:
        with urllib.request.urlopen(f"{root}/health", timeout=5) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def keep(command: Sequence[str]) -> int:
    """Run `command` until it ends or standard input does, and leave nothing of it behind."""
    for number in (signal.SIGINT, signal.SIGHUP):  # of the terminal: the test run says when
        signal.signal(number, signal.SIG_IGN)
    # vLLM leaves sockets and a file among temporary files.
    with tempfile.TemporaryDirectory(prefix="served-", ignore_cleanup_errors=True) as folder:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            env={**os.environ, "TMPDIR": folder},
            start_new_session=True,
        )
        threading.Thread(target=_end_with_input, args=(process,), daemon=True).start()
        try:
            return process.wait()
        finally:
            _await_group(process.pid)
            _signal(process.pid, signal.SIGKILL)  # engine processes of a server that was killed itself


def _end_with_input(process: subprocess.Popen[bytes]) -> None:
    while os.read(0, 1024):
        pass
    _signal(process.pid, signal.SIGTERM)
    time.sleep(GRACE_S)  # the main thread has ended this one by then, unless the server hangs
    _signal(process.pid, signal.SIGKILL)


def _await_group(group: int) -> None:
    """Let what the server has started end by itself: the last of it takes shared memory away."""
    deadline = time.monotonic() + GRACE_S
    with suppress(ProcessLookupError, PermissionError):
        while time.monotonic() < deadline:
            os.killpg(group, 0)
            time.sleep(0.1)


def _signal(group: int, number: int) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)


if __name__ == "__main__":
    sys.exit(keep(sys.argv[1:]))
