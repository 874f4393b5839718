"""Files of a run that are there completely or not at all: the one way to write them."""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any, TextIO, cast

from modeltest.api import PrerequisiteError

SCRATCH_SUFFIX = ".tmp"
"""Ends the name of a file that is being written, behind a dot and the name it will have."""


@contextmanager
def open_atomic(path: Path) -> Iterator[TextIO]:
    """Open a text file that takes the place of `path` when the block ends, and leaves no trace if it fails.

    It is UTF-8 and written as given: no newline is translated.

    Raises: PrerequisiteError when the file cannot be written.
    """
    with _open_atomic(path, "x") as file:
        yield cast(TextIO, file)


def write_text(path: Path, text: str) -> None:
    """Write `text` to `path`, atomically.

    Raises: PrerequisiteError when the file cannot be written.
    """
    with open_atomic(path) as file:
        file.write(text)


def write_json(path: Path, value: object) -> None:
    """Write `value` to `path` as indented JSON in the order of its keys, atomically.

    Raises: PrerequisiteError when the file cannot be written; ValueError for NaN and infinity.
    """
    write_text(path, json_text(value))


def json_text(value: object) -> str:
    """Return `value` as `write_json` writes it.

    Raises: ValueError for NaN and infinity.
    """
    return json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def write_bytes(path: Path, data: bytes) -> None:
    """Write `data` to `path`, atomically.

    Raises: PrerequisiteError when the file cannot be written.
    """
    with _open_atomic(path, "xb") as file:
        file.write(data)


@contextmanager
def _open_atomic(path: Path, mode: str) -> Iterator[IO[Any]]:
    encoding, newline = (None, None) if "b" in mode else ("utf-8", "")
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}{SCRATCH_SUFFIX}")
    try:
        with temporary.open(mode, encoding=encoding, newline=newline) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as problem:
        if problem.filename not in (None, str(temporary)):
            raise  # the block could not read what it writes from; that is no fault of this file
        raise PrerequisiteError(
            f"cannot write {path}: {problem.strerror or problem}; free or choose another output directory"
        ) from problem
    finally:
        with suppress(OSError):  # gone after success, never there when it could not be opened
            temporary.unlink()
