"""The Python files that others bring along, named with their digests to whoever is to trust them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

_NAMED = 5
"""How many files are named."""

_DIGITS = 12
"""Of a digest: enough to compare by eye."""


UNREADABLE = "unknown"
"""Stands for the digest of code that cannot be read, or is in no file that is known."""


@dataclass(frozen=True, slots=True)
class CodeFile:
    """One file, by its path in the folder; `sha256` is `None` when it cannot be read."""

    name: str
    sha256: str | None


def code_files(folder: Path) -> tuple[CodeFile, ...]:
    """Return the Python files in `folder` and below, by name."""
    found = sorted(path for path in folder.rglob("*.py") if path.is_file())
    return tuple(CodeFile(path.relative_to(folder).as_posix(), digest_of(path)) for path in found)


def named_code(folder: Path) -> str:
    """Return folder and files with the beginnings of their digests, in words."""
    return f"{folder} ({named(code_files(folder)) or 'no Python file is in it'})"


def named(files: Sequence[CodeFile]) -> str:
    """Return the first of `files` with the beginnings of their digests, and how many more there are."""
    words = [f"{file.name} sha256 {(file.sha256 or UNREADABLE)[:_DIGITS]}" for file in files[:_NAMED]]
    more = f", and {len(files) - _NAMED} more" if len(files) > _NAMED else ""
    return ", ".join(words) + more


def digest_of(path: Path) -> str | None:
    """Return the sha256 of a file; `None` when it cannot be read."""
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        return None
