"""Starts the servers of these tests as processes of their own, and reads what they wrote down."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from asking import ask
from dialect import CHANGED
from made_http import SETTLED

PLACE = Path(__file__).resolve().parent


@dataclass(slots=True)
class Running:
    """A process that listens on a port of the loopback interface."""

    words: Sequence[str]
    log: Path
    port: int = 0
    process: subprocess.Popen[str] | None = field(default=None, repr=False)

    @property
    def url(self) -> str:
        """Where its OpenAI routes are."""
        return f"http://127.0.0.1:{self.port}/v1"

    def start(self, *more: str) -> None:
        """Start it, on the port it had if it ran before; `more` goes behind the words it is started with."""
        words = [*self.words, *more, "--port", str(self.port), "--log", str(self.log)]
        self.process = subprocess.Popen([sys.executable, *words], stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line.startswith("listening on "), f"{words} did not start"
        self.port = int(line.split()[-1])

    def stop(self, *, kill: bool = False) -> None:
        """End it; with `kill` in the middle of whatever it does."""
        process, self.process = self.process, None
        if process is not None:
            process.kill() if kill else process.terminate()
            process.wait()
            assert process.stdout is not None
            process.stdout.close()

    def change_weights(self) -> None:
        """Have it answer with its `--weights-later` from now on, on the connections that it has."""
        assert self.process is not None
        self.process.send_signal(signal.SIGUSR1)
        while all(line["path"] != CHANGED for line in self.lines()):
            pass

    def lines(self, *, settled: bool = True) -> list[dict[str, Any]]:
        """Return what it wrote down, one entry for each request that has ended.

        With `settled`, those that were answered before are there for sure, and a proxy has come to rest.
        """
        if settled and self.process is not None:
            ask(self.port, SETTLED)
        text = self.log.read_text(encoding="utf-8") if self.log.exists() else ""
        return [json.loads(line) for line in text.splitlines() if line.endswith("}")]


@dataclass(slots=True)
class RunningProxy(Running):
    """A faulty proxy, and the script it follows."""

    script: Path = Path()

    def arm(self, *rules: Mapping[str, Any]) -> None:
        """Give it a new script: requests are counted from 1 again."""
        partial = self.script.with_suffix(".partial")
        partial.write_text(json.dumps([*rules]))
        partial.replace(self.script)


@contextmanager
def made_server(folder: Path, dialect: str = "vllm", *options: str) -> Iterator[Running]:
    """Run a made server, with `options` of its command line."""
    words = [str(PLACE / "made_server.py"), dialect, *options]
    yield from _while_running(Running(words, _fresh(folder, "server")))


@contextmanager
def timed_server(folder: Path, *options: str) -> Iterator[Running]:
    """Run a server of known times."""
    yield from _while_running(Running([str(PLACE / "timed_server.py"), *options], _fresh(folder, "timed")))


@contextmanager
def faulty_proxy(folder: Path, target: Running, *options: str) -> Iterator[RunningProxy]:
    """Run a proxy in front of `target`, which does no harm until it is armed."""
    script = _fresh(folder, "script")
    words = [str(PLACE / "faulty_proxy.py"), str(target.port), "--script", str(script), *options]
    yield from _while_running(RunningProxy(words, _fresh(folder, "proxy"), script=script))


def _while_running(running: Any) -> Iterator[Any]:
    running.start()
    try:
        yield running
    finally:
        running.stop()


def _fresh(folder: Path, name: str) -> Path:
    place = 1 + len(list(folder.glob(f"{name}-*")))
    path = folder / f"{name}-{place}"
    path.touch()
    return path
