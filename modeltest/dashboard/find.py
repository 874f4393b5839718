"""Run directories below some folders, and how to tell that one has changed without reading it."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from modeltest.api import SpecError
from modeltest.run.record.directory import PARTIAL_FOLDER, RUN_FILE, SCRATCH_PREFIX
from modeltest.run.record.journal import FILE_NAME as JOURNAL

REPORT = "report.html"

_RUN_NAME = re.compile(r"\d{8}-\d{6}_")
"""How the name of a run directory begins."""

_WATCHED = (RUN_FILE, JOURNAL, REPORT, f"{PARTIAL_FOLDER}/{REPORT}")


@dataclass(frozen=True, slots=True)
class Found:
    """A directory that is a run's, or was to be one."""

    directory: Path
    problem: str | None = None
    """Why nothing in it can be read."""


def find_runs(roots: Sequence[Path], *, leave_out: Iterable[Path] = ()) -> list[Found]:
    """Return the runs in and below `roots`, each once, in the order of their paths.

    Links below a root are not followed, and names that begin with a dot are passed over. A directory that
    looks like a run's but has no `run.json`, and one that cannot be listed, are found too, with the problem.

    Raises: SpecError for a root that is no directory.
    """
    found: dict[Path, Found] = {}
    left_out = {path.resolve() for path in leave_out}
    for root in roots:
        resolved = _resolved(root)
        for one in _below(resolved, left_out):
            found.setdefault(one.directory, one)
    return [found[path] for path in sorted(found)]


def signature(directory: Path) -> str:
    """Return a text that differs when a file of the run was written again, without reading any.

    Size, times and inode of each: run.json is replaced as a whole, so its inode changes even where the clock
    of the file system is coarse.
    """
    return ";".join(_state(directory / name) for name in _WATCHED)


def has_same_sizes(one: str, other: str) -> bool:
    """Say whether two signatures are of files that may hold the same, such as those of a restored backup."""
    sizes = [[state.partition(",")[0] for state in each.split(";")] for each in (one, other)]
    return sizes[0] == sizes[1]


def report_of(directory: Path) -> Path | None:
    """Return the run's own page: the whole run's, else that of what a stopped one had finished."""
    pages = (directory / REPORT, directory / PARTIAL_FOLDER / REPORT)
    return next((page for page in pages if page.is_file()), None)


def _state(path: Path) -> str:
    try:
        found = path.stat()
    except OSError:
        return ""
    return f"{found.st_size},{found.st_mtime_ns},{found.st_ctime_ns},{found.st_ino}"


def _resolved(root: Path) -> Path:
    path = root.expanduser()
    if not path.is_dir():
        what = "is a file" if path.exists() else "does not exist"
        raise SpecError(f"{root} {what}; give the directory of a run, or a folder that runs lie in")
    return path.resolve()


def _below(folder: Path, left_out: set[Path]) -> Iterator[Found]:
    if folder in left_out:
        return
    try:
        with os.scandir(folder) as entries:
            listed = sorted(entries, key=lambda entry: entry.name)
    except OSError as problem:
        yield Found(folder, f"cannot be listed: {problem.strerror}")
        return
    names = {entry.name for entry in listed}
    if RUN_FILE in names:
        yield Found(folder)
        return
    runs = [
        one
        for entry in listed
        if not entry.name.startswith(SCRATCH_PREFIX) and entry.is_dir(follow_symlinks=False)
        for one in _below(folder / entry.name, left_out)
    ]
    if not runs and (JOURNAL in names or _RUN_NAME.match(folder.name)):
        yield Found(folder, f"it has no {RUN_FILE}")
    yield from runs
