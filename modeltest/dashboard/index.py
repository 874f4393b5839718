"""The index of a site: one SQLite file with every run, its numbers and what they are compared by.

Others may read it while it is written. What is written in one `changing` block is there completely or not at
all; a second writer waits for the first.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from modeltest.api import ModelTestError, PrerequisiteError, SpecError
from modeltest.dashboard.entry import Entry, is_followed
from modeltest.dashboard.evidence import Answers, Evidence
from modeltest.plain.contracts import from_plain, to_plain

FILE_NAME = "index.sqlite"
VERSION = 1
"""Of the tables, kept as `PRAGMA user_version`; an index of another version is refused."""

APPLICATION_ID = 0x4D54_4442
"""Tells an index from any other SQLite file: MTDB."""

PATIENCE_S = 60.0
"""How long a writer waits for another."""

_SCHEMA = Path(__file__).with_name("schema.sql")
_ENTRY_COLUMNS = (
    "directory",
    "signature",
    "run_sha256",
    "state",
    "problem",
    "started",
    "model",
    "task",
    "engine",
    "device",
    "verdict",
    "reasons",
    "warnings",
    "command",
    "facts",
    "report",
    "reason_codes",
    "warning_codes",
    "problem_code",
    "decision",
    "decision_tone",
)


_ADDED_COLUMNS = (
    ("runs", "reason_codes", "TEXT NOT NULL DEFAULT '[]'"),
    ("runs", "warning_codes", "TEXT NOT NULL DEFAULT '[]'"),
    ("runs", "problem_code", "TEXT"),
    ("runs", "decision", "TEXT"),
    ("runs", "decision_tone", "TEXT"),
    ("comparisons", "note_code", "TEXT"),
)
"""Those that an index of an earlier version lacks: it gets them, empty until a run is read again."""


@dataclass(frozen=True, slots=True)
class IndexedRun:
    """What tells whether a directory is still as it was indexed."""

    key: int
    signature: str
    """Sizes and times of its files, or why it could not be read."""

    run_sha256: str | None


class Index:
    """An open index. Use it as a context manager."""

    def __init__(self, path: Path) -> None:
        """Open the index at `path`, or begin one.

        Raises: SpecError for a file that is no index, or one of another version; PrerequisiteError when it
        cannot be opened.
        """
        self._path = path
        try:
            self._connection = sqlite3.connect(path, timeout=PATIENCE_S, isolation_level=None)
        except sqlite3.DatabaseError as problem:
            raise self._refusal(problem) from problem
        self._connection.row_factory = sqlite3.Row
        try:
            self._connection.execute("PRAGMA foreign_keys = ON")
            self._prepare()
        except sqlite3.DatabaseError as problem:
            self._connection.close()
            raise self._refusal(problem) from problem
        except BaseException:
            self._connection.close()
            raise

    def __enter__(self) -> Index:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    @contextmanager
    def changing(self) -> Iterator[None]:
        """Make one change of all that is written in the block; an error leaves the index as it was.

        Raises: PrerequisiteError when it cannot be written.
        """
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield
            except BaseException:
                self._connection.rollback()
                raise
            self._connection.commit()
        except sqlite3.DatabaseError as problem:
            raise self._refusal(problem) from problem

    def rows(self, query: str, *values: object) -> Iterator[sqlite3.Row]:
        """Yield the rows that `query` finds."""
        yield from self._connection.execute(query, values)

    def indexed(self) -> Mapping[str, IndexedRun]:
        """Return every run of the index by its directory."""
        found = self.rows("SELECT directory, run, signature, run_sha256 FROM runs")
        return {
            row["directory"]: IndexedRun(row["run"], row["signature"], row["run_sha256"]) for row in found
        }

    def store(self, entry: Entry, signature: str) -> int:
        """Write `entry` in place of what was known of its directory; return the key of the run.

        What it was compared with is forgotten, and what was compared with it.
        """
        values = {**_row_of(entry), "signature": signature}
        names, marks = ", ".join(_ENTRY_COLUMNS), ", ".join("?" * len(_ENTRY_COLUMNS))
        updates = ", ".join(f"{name} = excluded.{name}" for name in _ENTRY_COLUMNS[1:])
        query = f"INSERT INTO runs ({names}) VALUES ({marks}) ON CONFLICT (directory) DO UPDATE SET {updates}"
        self._execute(query, *(values[name] for name in _ENTRY_COLUMNS))
        (row,) = self.rows("SELECT run FROM runs WHERE directory = ?", entry.directory)
        key = int(row["run"])
        self._execute("DELETE FROM comparisons WHERE run = ? OR reference = ?", key, key)
        self._store_metrics(key, entry)
        self._store_evidence(key, entry.evidence)
        return key

    def touch(self, run: int, signature: str, report: str | None) -> None:
        """Note that the files of a run are others but say the same."""
        self._execute("UPDATE runs SET signature = ?, report = ? WHERE run = ?", signature, report, run)

    def forget(self, runs: Iterable[int]) -> None:
        """Remove runs with all that is known of them."""
        for run in runs:
            self._execute("DELETE FROM runs WHERE run = ?", run)

    def forget_comparisons(self) -> None:
        """Remove every comparison: they were made by other rules."""
        self._execute("DELETE FROM comparisons")

    def accept(self, run: int) -> None:
        """Let `run` be the reference of those after it, whatever it is itself beside those before."""
        self._execute("UPDATE runs SET accepted = 1 WHERE run = ?", run)

    def evidence(self, run: int) -> Evidence | None:
        """Return what the run is compared by."""
        for row in self.rows("SELECT content, questions_sha256, outcomes FROM evidence WHERE run = ?", run):
            found = from_plain(Evidence, json.loads(row["content"]))
            if row["questions_sha256"] is None:
                return found
            return replace(found, answers=Answers(self._questions(row["questions_sha256"]), row["outcomes"]))
        return None

    def setting(self, name: str) -> str | None:
        """Return a setting; `None` when it was never made."""
        return next(
            (row["value"] for row in self.rows("SELECT value FROM settings WHERE name = ?", name)), None
        )

    def set(self, name: str, value: str) -> None:
        """Make a setting."""
        self._execute("INSERT OR REPLACE INTO settings VALUES (?, ?)", name, value)

    def insert(self, table: str, rows: Iterable[tuple[Any, ...]]) -> None:
        """Add rows to one of the index's tables, in the order of its columns; equal keys are replaced."""
        listed = list(rows)
        if listed:
            marks = ", ".join("?" * len(listed[0]))
            self._connection.executemany(f"INSERT OR REPLACE INTO {table} VALUES ({marks})", listed)

    def _execute(self, query: str, *values: object) -> None:
        self._connection.execute(query, values)

    def _store_metrics(self, key: int, entry: Entry) -> None:
        self._execute("DELETE FROM metrics WHERE run = ?", key)
        self.insert(
            "metrics",
            (
                (
                    key,
                    each.family,
                    each.case,
                    each.unit,
                    each.better,
                    each.value,
                    each.low,
                    each.high,
                    followed,
                )
                for each in entry.metrics
                for followed in [int(is_followed(each))]
            ),
        )

    def _store_evidence(self, key: int, evidence: Evidence | None) -> None:
        self._execute("DELETE FROM evidence WHERE run = ?", key)
        if evidence is None:
            return
        answers = evidence.answers
        digest = outcomes = None
        if answers is not None:
            digest, outcomes = answers.questions_sha256, answers.outcomes
            self._execute(
                "INSERT OR IGNORE INTO question_sets VALUES (?, ?)", digest, json.dumps(answers.questions)
            )
        content = json.dumps(to_plain(replace(evidence, answers=None)))
        self._execute("INSERT INTO evidence VALUES (?, ?, ?, ?)", key, digest, outcomes, content)

    def _questions(self, digest: str) -> tuple[str, ...]:
        (row,) = self.rows("SELECT questions FROM question_sets WHERE sha256 = ?", digest)
        return tuple(json.loads(row["questions"]))

    def _prepare(self) -> None:
        """Make the tables of a new index, or make sure that these are the tables this code knows."""
        with self.changing():  # two that begin at once: one makes the tables
            (version,) = self._connection.execute("PRAGMA user_version").fetchone()
            (application,) = self._connection.execute("PRAGMA application_id").fetchone()
            (tables,) = self._connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
            if (version, application, tables) == (0, 0, 0):
                for statement in _SCHEMA.read_text(encoding="utf-8").split(";"):
                    self._execute(statement)
                self._execute(f"PRAGMA application_id = {APPLICATION_ID}")
                self._execute(f"PRAGMA user_version = {VERSION}")
            elif application != APPLICATION_ID:
                raise SpecError(
                    f"{self._path} is another program's file; choose another place with --out DIR"
                )
            elif version != VERSION:
                raise SpecError(
                    f"{self._path} is an index of version {version}, this ModelTest writes {VERSION}: "
                    "remove it, and the next call makes a new one from the run directories"
                )
            for table, column, kind in _ADDED_COLUMNS:
                known = {row["name"] for row in self.rows(f"PRAGMA table_info({table})")}
                if column not in known:
                    self._execute(f"ALTER TABLE {table} ADD COLUMN {column} {kind}")

    def _refusal(self, problem: sqlite3.DatabaseError) -> ModelTestError:
        text = str(problem)
        if "not a database" in text or "malformed" in text:
            return SpecError(
                f"{self._path} is damaged or no index ({text}); remove it, and the next call makes a new one "
                "from the run directories"
            )
        if "locked" in text:
            return PrerequisiteError(f"another process has been writing {self._path} for {PATIENCE_S:.0f} s")
        return PrerequisiteError(f"cannot use the index {self._path}: {text}")


def _row_of(entry: Entry) -> dict[str, object]:
    plain = {name: to_plain(getattr(entry, name)) for name in _ENTRY_COLUMNS if name != "signature"}
    for name in ("reasons", "reason_codes", "warnings", "warning_codes", "facts", "problem_code"):
        plain[name] = json.dumps(plain[name], ensure_ascii=False)
    return plain
