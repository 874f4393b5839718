"""Runs pip and venv: their output goes to a log, which is shown only when something failed."""

from __future__ import annotations

import os
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from modeltest.bootstrap.messages import NotReady, say

CONSTRAINTS = "constraints.txt"

_MISDIRECTING = ("PIP_USER", "PIP_TARGET", "PIP_PREFIX")
"""Settings that would send a virtual environment's packages elsewhere."""


class CommandFailed(NotReady):
    """A logged command ended with an error."""

    def __init__(self, what: str, log: Path) -> None:
        self.log = log
        lines = [line for line in self.log_text().splitlines() if line.strip()]
        reasons = [line for line in lines if line.lower().startswith("error")] or lines[-3:]
        shown = "".join(f"\n    {line}" for line in reasons[:3])
        super().__init__(f"{what} failed; the whole log is {log}{shown}")

    def log_text(self) -> str:
        """Return everything the command printed."""
        return self.log.read_text(encoding="utf-8", errors="replace")

    @property
    def is_conflict(self) -> bool:
        """Whether pip found no set of versions that fits the constraints."""
        return "ResolutionImpossible" in self.log_text()


def pip_install(python: str, words: Sequence[str], *, root: Path, what: str, in_venv: bool = False) -> None:
    """Run `pip install WORDS` of the interpreter `python` in `root`.

    Raises: CommandFailed.
    """
    environment = {
        name: value for name, value in os.environ.items() if not (in_venv and name in _MISDIRECTING)
    }
    # Containers come with old versions of pip: only options that all of them know.
    command = [python, "-m", "pip", "install", "--disable-pip-version-check", "--no-input", *words]
    run_logged(command, cwd=root, what=what, environment=environment)


def pip_uninstall(python: str, name: str, *, root: Path, what: str) -> None:
    """Run `pip uninstall NAME` of the interpreter `python`.

    Raises: CommandFailed.
    """
    command = [python, "-m", "pip", "uninstall", "--disable-pip-version-check", "--yes", name]
    run_logged(command, cwd=root, what=what, environment=os.environ)


def run_logged(command: Sequence[str], *, cwd: Path, what: str, environment: Mapping[str, str]) -> None:
    """Run a command with its output in a log that is kept only if the command fails.

    Raises: CommandFailed.
    """
    handle, name = tempfile.mkstemp(prefix="modeltest-install-", suffix=".log")
    started = time.perf_counter_ns()
    say(f"{what} ...")
    with os.fdopen(handle, "wb") as log:
        status = subprocess.run(
            command,
            cwd=cwd,
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            check=False,
        ).returncode
    if status:
        raise CommandFailed(what, Path(name))
    Path(name).unlink()
    say(f"{what}: done in {(time.perf_counter_ns() - started) / 1e9:.0f} s")
