"""The Python files that come with a checkpoint, named with their digests to whoever is to trust them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

_NAMED = 5
"""How many files are named."""

_DIGITS = 12
"""Of a digest: enough to compare by eye."""


@dataclass(frozen=True, slots=True)
class CodeFile:
    """One file, by its path in the folder; `sha256` is `None` when it cannot be read."""

    name: str
    sha256: str | None


def code_files(folder: Path) -> tuple[CodeFile, ...]:
    """Return the Python files in `folder` and below, by name."""
    found = sorted(path for path in folder.rglob("*.py") if path.is_file())
    return tuple(CodeFile(path.relative_to(folder).as_posix(), _digest(path)) for path in found)


def named_code(folder: Path) -> str:
    """Return folder and files with the beginnings of their digests, in words."""
    files = code_files(folder)
    if not files:
        return f"{folder} (no Python file is in it)"
    named = [f"{file.name} sha256 {(file.sha256 or 'unreadable')[:_DIGITS]}" for file in files[:_NAMED]]
    more = f", and {len(files) - _NAMED} more" if len(files) > _NAMED else ""
    return f"{folder} ({', '.join(named)}{more})"


def _digest(path: Path) -> str | None:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        return None
