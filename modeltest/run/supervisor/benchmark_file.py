"""The file that `ATB_LLM_BENCHMARK_FILEPATH` names: the run's `benchmark.csv` for whoever reads it there.

MindIE rewrites that file at each pass. Here the supervisor writes it once, at the end and from the journal,
which is all that every engine has in common; so no trial is disturbed and a run that went on repeats nothing.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from modeltest import registry
from modeltest.api import PrerequisiteError, RunResult
from modeltest.machine.files import write_text
from modeltest.run.ending.formats import refusal

REPORT = "benchmark"

FOLDER_MODE = 0o750
FILE_MODE = 0o640
"""As MindIE makes them."""

_BEGINNING = b"batch_size,"
"""Of every such table, by whomever it was written."""

_REMEDY = "give this run a path of its own with ATB_LLM_BENCHMARK_FILEPATH"


@contextmanager
def held(path: Path | None) -> Iterator[None]:
    """Keep `path` for this run alone until the block ends: its reader cannot tell whose rows it has.

    Raises: PrerequisiteError when it cannot be written, or another run holds it.
    """
    if path is None:
        yield
        return
    lock = path.with_name(f".{path.name}.lock")
    try:
        _refuse_what_is_no_table(path)
        path.parent.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
        descriptor = _locked(lock, path)
        path.unlink(missing_ok=True)  # an older run's rows are not to be taken for those of this one
    except OSError as problem:
        raise PrerequisiteError(f"cannot write {path}: {problem.strerror}; {_REMEDY}") from problem
    try:
        yield
    finally:
        with suppress(OSError):
            lock.unlink()
        os.close(descriptor)


def write_benchmark(result: RunResult, directory: Path, path: Path) -> str | None:
    """Write `benchmark.csv` of the finished run in `directory`, and again at `path`; return why not, if so.

    Raises: PrerequisiteError when one cannot be written.
    """
    report = registry.load_report(REPORT)
    if reason := refusal(report, result):
        return reason
    (own,) = report.write(result, directory)
    write_text(path, own.read_text(encoding="utf-8"))
    path.chmod(FILE_MODE)
    return None


def _refuse_what_is_no_table(path: Path) -> None:
    """Refuse a path with anything behind it that replacing it would destroy.

    Raises: PrerequisiteError; OSError when it cannot be looked at.
    """
    reason = None
    if path.is_symlink():
        reason = "it is a link"
    elif path.parent.exists() and not path.parent.is_dir():
        reason = "its folder is a file"
    elif path.exists():
        if not path.is_file():
            reason = "it is no file"
        elif path.stat().st_size and not _begins_like_one(path):
            reason = "it holds something else than times"
    if reason:
        raise PrerequisiteError(f"cannot write {path}: {reason}; {_REMEDY}")


def _begins_like_one(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(len(_BEGINNING)) == _BEGINNING


def _locked(lock: Path, path: Path) -> int:
    """Return the descriptor of `lock`, locked.

    Raises: PrerequisiteError when another process has it; OSError when it cannot be made.
    """
    while True:
        descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            raise PrerequisiteError(f"another run is going to write {path}; {_REMEDY}") from None
        except OSError:
            return descriptor  # a file system without locks
        if _is_same_file(descriptor, lock):
            return descriptor
        os.close(descriptor)  # the process that held it has just removed it


def _is_same_file(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False
