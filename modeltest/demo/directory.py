"""The directory of a demo checkpoint: it appears complete or not at all, and never over other files."""

from __future__ import annotations

import errno
import fcntl
import os
import re
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from uuid import uuid4

from modeltest.api import PrerequisiteError, SpecError

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def check_replaceable(directory: Path, own_files: Iterable[str], *, force: bool) -> None:
    """Refuse a directory that is in use; `force` lets `own_files`, those of an earlier demo model, go.

    Raises: SpecError.
    """
    if directory.resolve() == Path.cwd():
        raise SpecError(f"{directory} is the current directory; name a directory for the demo model in it")
    if directory.exists() and not directory.is_dir():
        raise SpecError(f"{directory} is a file; name a directory for the demo model")
    present = {path.name for path in directory.iterdir()} if directory.exists() else set()
    if present and not force:
        raise SpecError(f"{directory} is not empty; name another directory or replace it with --force")
    if foreign := sorted(present.difference(own_files)):
        raise SpecError(
            f"{directory} holds {foreign[0]}, which is no file of a demo model; name another directory"
        )


def check_space(directory: Path, needed_bytes: int) -> None:
    """Refuse to begin what will not fit on the disk of `directory`, which need not exist yet.

    Raises: PrerequisiteError.
    """
    existing = next(path for path in (directory, *directory.parents) if path.exists())
    free_bytes = shutil.disk_usage(existing).free
    if free_bytes < needed_bytes:
        raise PrerequisiteError(
            f"{directory} needs {needed_bytes / 1e6:.0f} MB, and its disk has {free_bytes / 1e6:.0f} MB left;"
            " free some or name a directory on another disk"
        )


@contextmanager
def written_beside(directory: Path) -> Iterator[Path]:
    """Yield a directory beside `directory` that takes its place at the end, or vanishes on an error.

    What a killed process left there is removed by the next one.

    Raises: SpecError when it cannot be written, PrerequisiteError when the disk is full.
    """
    draft = directory.with_name(f".{directory.name}.{uuid4().hex[:8]}")
    try:
        _remove_orphans(directory)
        draft.mkdir(parents=True)
        with _locked(draft):
            yield draft
            if directory.exists():
                shutil.rmtree(directory)
            draft.rename(directory)
    except OSError as problem:
        if problem.errno in _FULL:
            raise PrerequisiteError(
                f"cannot write {directory}: {problem.strerror}; free some or name a directory on another disk"
            ) from problem
        raise SpecError(f"cannot write {directory}: {problem.strerror}; name another directory") from problem
    finally:
        shutil.rmtree(draft, ignore_errors=True)


@contextmanager
def _locked(draft: Path) -> Iterator[None]:
    """Hold a lock that says somebody is at work here. The system frees it when the process dies."""
    descriptor = os.open(draft, os.O_RDONLY | os.O_DIRECTORY)
    try:
        with suppress(OSError):  # some network file systems lock no directories: then nothing is an orphan
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _remove_orphans(directory: Path) -> None:
    if not directory.parent.is_dir():
        return
    name = re.compile(rf"\.{re.escape(directory.name)}\.[0-9a-f]{{8}}")
    for path in directory.parent.iterdir():
        if name.fullmatch(path.name) and path.is_dir() and not path.is_symlink() and _is_orphan(path):
            shutil.rmtree(path, ignore_errors=True)


def _is_orphan(draft: Path) -> bool:
    with suppress(OSError):
        descriptor = os.open(draft, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        finally:
            os.close(descriptor)
    return False
