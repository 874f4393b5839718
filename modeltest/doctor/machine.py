"""What the checks ask of a machine, and the machine this process runs on."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Protocol

COMMAND_TIMEOUT_S = 60
"""How long a command may take; `npu-smi info` on a busy machine of 16 chips takes some seconds."""

_OTHERS_MAY_WRITE = 0o002


@dataclass(frozen=True, slots=True)
class CommandOutput:
    """What a command said on both its outputs, and its exit status."""

    status: int
    text: str


class Machine(Protocol):
    """Everything the checks know of the world outside: tests bring their own."""

    @property
    def environment(self) -> Mapping[str, str]:
        """Return the environment variables."""

    @property
    def working_directory(self) -> str:
        """Return the directory a run would be started in."""

    def exists(self, path: str) -> bool:
        """Say whether there is a file, folder or device at `path`."""

    def is_open_to_all(self, path: str) -> bool:
        """Say whether every user may write to `path`."""

    def text_of(self, path: str) -> str | None:
        """Return the text of a file; `None` when it cannot be read."""

    def paths(self, pattern: str) -> tuple[str, ...]:
        """Return the paths that an absolute glob pattern matches, sorted."""

    def run(self, *command: str) -> CommandOutput | None:
        """Run a command; `None` when there is none of this name, or it does not end."""

    def version_of(self, package: str) -> str | None:
        """Return the version of an installed Python distribution."""

    def is_port_free(self, port: int) -> bool:
        """Say whether a server could listen on `port`."""

    def free_port(self) -> int:
        """Return a port that is free now."""


class ThisMachine:
    """The machine this process runs on."""

    @property
    def environment(self) -> Mapping[str, str]:
        """Return the variables of this process."""
        return os.environ

    @property
    def working_directory(self) -> str:
        """Return the current directory."""
        return str(Path.cwd())

    def exists(self, path: str) -> bool:
        """Say whether there is anything at `path`."""
        try:
            return Path(path).exists()
        except OSError:
            return False

    def is_open_to_all(self, path: str) -> bool:
        """Say whether the mode of `path` lets others write."""
        try:
            return bool(Path(path).stat().st_mode & _OTHERS_MAY_WRITE)
        except OSError:
            return False

    def text_of(self, path: str) -> str | None:
        """Return the text of a file."""
        try:
            return Path(path).read_text(encoding="utf-8", errors="replace")
        except OSError:
            return None

    def paths(self, pattern: str) -> tuple[str, ...]:
        """Return what matches `pattern`, which begins with a slash."""
        return tuple(sorted(str(path) for path in Path("/").glob(pattern.lstrip("/"))))

    def run(self, *command: str) -> CommandOutput | None:
        """Run a command found on PATH, without input."""
        if shutil.which(command[0]) is None:
            return None
        try:
            done = subprocess.run(
                command,
                check=False,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                timeout=COMMAND_TIMEOUT_S,
            )
        except (OSError, subprocess.TimeoutExpired):
            return None
        return CommandOutput(done.returncode, done.stdout.decode(errors="replace"))

    def version_of(self, package: str) -> str | None:
        """Return the version of an installed distribution."""
        try:
            return version(package)
        except PackageNotFoundError:
            return None

    def is_port_free(self, port: int) -> bool:
        """Say whether `port` can be bound on every address, as a rendezvous does it."""
        with socket.socket() as attempt:
            attempt.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                attempt.bind(("", port))
            except OSError:
                return False
        return True

    def free_port(self) -> int:
        """Return a port that the kernel would give."""
        with socket.socket() as attempt:
            attempt.bind(("", 0))
            port: int = attempt.getsockname()[1]
        return port
