"""Builds a site: index, comparisons, pages. Two that build one site take turns."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from modeltest import registry
from modeltest.api import Dashboard, PrerequisiteError
from modeltest.compare.tolerances import Tolerances
from modeltest.dashboard.index import FILE_NAME, Index
from modeltest.dashboard.load import load_dashboard
from modeltest.dashboard.update import Changes, accept_runs, update_index

LOCK_FILE = ".lock"
INDEX_PAGE = "index.html"


@dataclass(frozen=True, slots=True)
class Built:
    """What came of a build."""

    dashboard: Dashboard
    changes: Changes
    pages: Sequence[Path]


def build_site(
    roots: Sequence[Path],
    out: Path,
    *,
    tolerances: Tolerances,
    accepted: Sequence[Path] = (),
    language: str | None,
    tell: Callable[[str], None],
) -> Built:
    """Bring the site in `out` up to date with the runs below `roots`, and with those it knows already.

    Raises: SpecError for a root that is no directory, or an `out` that holds another index; PrerequisiteError
    when the site cannot be written, or no site builder is installed.
    """
    builder = registry.site_builder()
    _make(out)
    with _turn(out, tell), Index(out / FILE_NAME) as index:
        changes = update_index(index, roots, leave_out=out)
        accept_runs(index, accepted)
        dashboard = load_dashboard(index, tolerances)
        pages = builder.build(dashboard, out, language=language)
    return Built(dashboard, changes, pages)


def _make(out: Path) -> None:
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as problem:
        raise PrerequisiteError(
            f"cannot create {out}: {problem.strerror}; choose another --out DIR"
        ) from problem


@contextmanager
def _turn(out: Path, tell: Callable[[str], None]) -> Iterator[None]:
    """Wait until nobody else builds the site; where the file system knows no locks nobody waits."""
    path = out / LOCK_FILE
    try:
        file = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as problem:
        raise PrerequisiteError(f"cannot write {path}: {problem.strerror}") from problem
    try:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            tell(f"waiting: another process is building {out}")
            fcntl.flock(file, fcntl.LOCK_EX)
        except OSError:
            pass  # a file system without locks: the index is safe by its own means
        yield
    finally:
        os.close(file)
