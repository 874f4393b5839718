"""Task files by their names, `file:/path/FILE`: which there are, their digests, and which may run as code."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

from modeltest.api import TASK_FILE_PREFIX, RunSpec, SpecError

TOML, PYTHON = ".toml", ".py"

_allowed: set[Path] = set()
"""Files in Python that somebody has named to this process, or said of that they may run."""


def name_of(path: str) -> str:
    """Return the name of the task that the file at `path` describes.

    Raises: SpecError when it is no file of a task.
    """
    full = Path(path).expanduser().absolute()
    if full.suffix not in (TOML, PYTHON):
        raise SpecError(f"task file {path!r:.200}: expected a file whose name ends with {TOML} or {PYTHON}")
    if not full.is_file():
        raise SpecError(f"task file {path!r:.200}: there is no such file")
    return f"{TASK_FILE_PREFIX}{full}"


def path_of(name: str) -> Path:
    """Return the path of the task file called `name`."""
    return Path(name.removeprefix(TASK_FILE_PREFIX))


def is_code(spec: RunSpec) -> bool:
    """Say whether the task of `spec` is a file in Python."""
    return spec.task_file is not None and path_of(spec.task).suffix == PYTHON


def allow_code(spec: RunSpec) -> None:
    """Let the task file of `spec` be imported, if it has one in Python: somebody has named or trusted it."""
    if is_code(spec):
        _allowed.add(path_of(spec.task))


def refuse_untrusted(path: Path) -> None:
    """Refuse to import a file that nobody has allowed.

    It is code, and a run directory names it that may have been handed over.

    Raises: SpecError.
    """
    if path not in _allowed:
        raise SpecError(
            f"the task file {path} is code that would run, and it is named by a directory, not by you; "
            "add --trust-remote-code if you trust it"
        )


def digests(spec: RunSpec) -> Mapping[str, str]:
    """Return the sha256 of the task file of `spec` by its name; nothing where it has none.

    Raises: SpecError when it cannot be read.
    """
    if spec.task_file is None:
        return {}
    path = path_of(spec.task)
    try:
        return {path.name: hashlib.sha256(path.read_bytes()).hexdigest()}
    except OSError as problem:
        raise SpecError(f"task file {path} cannot be read: {problem.strerror}") from problem


def refuse_changed(spec: RunSpec, recorded: Mapping[str, str]) -> None:
    """Refuse a task file that is not what it was when the run began.

    Raises: SpecError naming both digests.
    """
    for name, digest in digests(spec).items():
        if recorded.get(name) != digest:
            raise SpecError(
                f"the task file {spec.task_file} is not what it was when the run began: its sha256 is "
                f"{digest:.12}, then it was {recorded.get(name, 'unknown'):.12}; bring it back, or start a "
                "new run"
            )
