"""Brings an index up to date: reads runs that are new or have changed, and forgets those that are gone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from modeltest.api import RunState, SpecError
from modeltest.dashboard.entry import Entry, digest_of, read_entry
from modeltest.dashboard.find import Found, find_runs, has_same_sizes, report_of, signature
from modeltest.dashboard.index import Index, IndexedRun

_TRANSACTION_RUNS = 200
"""So many runs are read before they are written: another writer gets its turn, and a kill loses little."""


@dataclass(slots=True)
class Changes:
    """What an update found."""

    new: list[str] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)
    gone: list[str] = field(default_factory=list)
    unchanged: int = 0


def update_index(index: Index, roots: Sequence[Path], *, leave_out: Path) -> Changes:
    """Look through `roots` for runs, ask for each known run whether it still exists, and write what is new.

    Raises: SpecError for a root that is no directory; PrerequisiteError when the index cannot be written.
    """
    known = index.indexed()
    found = find_runs(roots, leave_out=[leave_out])
    here = {str(one.directory): one for one in found}
    elsewhere = [Found(Path(directory)) for directory in known if directory not in here]
    changes = Changes()
    changes.gone = [str(one.directory) for one in elsewhere if not one.directory.is_dir()]
    with index.changing():
        index.forget(known[directory].key for directory in changes.gone)
    still = [one for one in elsewhere if one.directory.is_dir()]
    entries: list[tuple[Entry, str]] = []
    for one in (*found, *still):
        entry = _read_if_changed(index, one, known.get(str(one.directory)), changes)
        if entry is not None:
            entries.append(entry)
        if len(entries) >= _TRANSACTION_RUNS:
            _write(index, entries)
    _write(index, entries)
    return changes


def accept_runs(index: Index, directories: Sequence[Path]) -> None:
    """Let each of these runs be the reference of those after it.

    Raises: SpecError for a directory that is no run of the index.
    """
    known = index.indexed()
    with index.changing():
        for directory in directories:
            resolved = str(directory.expanduser().resolve())
            if resolved not in known:
                raise SpecError(f"--accept {directory}: the dashboard has no such run; give its directory")
            index.accept(known[resolved].key)


def _read_if_changed(
    index: Index, one: Found, known: IndexedRun | None, changes: Changes
) -> tuple[Entry, str] | None:
    now = signature(one.directory) if one.problem is None else one.problem
    if known is not None and known.signature == now:
        changes.unchanged += 1
        return None
    directory = str(one.directory)
    if one.problem is None and known is not None and _says_the_same(one.directory, known, now):
        report = report_of(one.directory)
        with index.changing():
            index.touch(known.key, now, str(report) if report else None)
        changes.unchanged += 1
        return None
    if one.problem is not None:
        entry = Entry(directory, RunState.UNREADABLE, problem=one.problem)
    else:
        entry = read_entry(one.directory)
    (changes.new if known is None else changes.changed).append(directory)
    return entry, now


def _says_the_same(directory: Path, known: IndexedRun, now: str) -> bool:
    """Tell a run that was copied back from one that was written again; run.json sums up the journal."""
    digest = known.run_sha256
    try:
        return digest is not None and has_same_sizes(known.signature, now) and digest_of(directory) == digest
    except OSError:
        return False


def _write(index: Index, entries: list[tuple[Entry, str]]) -> None:
    if entries:
        with index.changing():
            for entry, now in entries:
                index.store(entry, now)
        entries.clear()
