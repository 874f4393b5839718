import os
import sqlite3
import subprocess
import sys
from contextlib import suppress
from dataclasses import replace

import pytest

from modeltest.api import Case, Finding, FindingCode, FlatMetric, RunState, SpecError, Verdict
from modeltest.dashboard.entry import Entry
from modeltest.dashboard.evidence import Answers, Evidence, ShapeTrials
from modeltest.dashboard.index import APPLICATION_ID, FILE_NAME, VERSION, Index

ENTRY = Entry(
    directory="/runs/a",
    state=RunState.COMPLETE,
    run_sha256="1" * 64,
    started="2026-01-01T00:00:00+00:00",
    model="gemma-7b",
    task="full_BoolQ",
    engine="hf",
    device="cpu",
    verdict=Verdict.VALID,
    reasons=("one", "two"),
    facts={"torch": "2.6"},
    metrics=(FlatMetric("accuracy", 0.75, low=0.7, high=0.8), FlatMetric("accuracy", 0.5, "subject.law")),
    evidence=Evidence(answers=Answers(("boolq/0", "boolq/1"), "RW")),
)
TIMED = Evidence(trials=(ShapeTrials(Case(8, 4), 2, {"tpot_ms": (1.5, 1.25)}),))


@pytest.fixture
def path(tmp_path):
    return tmp_path / FILE_NAME


def write(path, *entries):
    with Index(path) as index, index.changing():
        return [index.store(entry, "signature") for entry in entries]


def ask(path, query, *values):
    connection = sqlite3.connect(path)
    try:
        return connection.execute(query, values).fetchall()
    finally:
        connection.close()


def test_any_sqlite_client_can_ask_it(path):
    write(path, ENTRY)
    assert ask(path, "SELECT model, verdict, state FROM runs") == [("gemma-7b", "VALID", "complete")]
    query = "SELECT value, low, high, unit, better, followed FROM metrics ORDER BY part"
    assert ask(path, query) == [
        (0.75, 0.7, 0.8, "ratio", "higher", 1),
        (0.5, None, None, "ratio", "higher", 0),
    ]
    assert ask(path, "PRAGMA user_version") == [(VERSION,)]
    assert ask(path, "PRAGMA application_id") == [(APPLICATION_ID,)]
    assert ask(path, "PRAGMA integrity_check") == [("ok",)]


def test_a_run_stored_again_keeps_its_key_and_loses_what_was_known(path):
    (key,) = write(path, ENTRY)
    other = replace(ENTRY, model="llama", metrics=(), evidence=TIMED)
    assert write(path, other) == [key]
    assert ask(path, "SELECT model FROM runs") == [("llama",)]
    assert ask(path, "SELECT count(*) FROM metrics") == [(0,)]
    with Index(path) as index:
        assert index.evidence(key) == TIMED


@pytest.mark.parametrize("evidence", [ENTRY.evidence, TIMED, None])
def test_evidence_comes_back_as_it_was(path, evidence):
    (key,) = write(path, replace(ENTRY, evidence=evidence))
    with Index(path) as index:
        assert index.evidence(key) == evidence


def test_equal_questions_are_kept_once(path):
    write(path, ENTRY, replace(ENTRY, directory="/runs/b"))
    assert ask(path, "SELECT questions FROM question_sets") == [('["boolq/0", "boolq/1"]',)]
    assert ask(path, "SELECT outcomes FROM evidence") == [("RW",), ("RW",)]


def test_a_run_that_is_forgotten_leaves_nothing(path):
    one, other = write(path, ENTRY, replace(ENTRY, directory="/runs/b"))
    with Index(path) as index, index.changing():
        index.insert("comparisons", [(other, one, "accuracy", "", "steady", 0.0, None, None, "", None)])
        index.forget([one])
    for table in ("runs", "metrics", "evidence", "comparisons"):
        assert ask(path, f"SELECT count(*) FROM {table} WHERE run = ?", one) == [(0,)]
    assert ask(path, "SELECT count(*) FROM comparisons") == [(0,)]


def test_the_key_of_a_forgotten_run_is_not_given_again(path):
    (one,) = write(path, ENTRY)
    with Index(path) as index, index.changing():
        index.forget([one])
    assert write(path, ENTRY) != [one]


def test_a_change_that_fails_is_as_if_it_had_not_begun(path):
    with Index(path) as index:
        with suppress(KeyboardInterrupt), index.changing():
            index.store(ENTRY, "s")
            raise KeyboardInterrupt
        assert index.indexed() == {}


def test_an_index_of_another_version_is_refused_and_left_as_it_is(path):
    write(path, ENTRY)
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version = 9")
    connection.close()
    with pytest.raises(SpecError, match=r"index of version 9, this ModelTest writes 1: remove it"):
        Index(path)
    assert ask(path, "SELECT count(*) FROM runs") == [(1,)]


def test_an_index_that_lacks_later_columns_gets_them_and_keeps_what_it_has(path):
    write(path, ENTRY)
    connection = sqlite3.connect(path)
    for table, column in (
        ("runs", "reason_codes"),
        ("runs", "warning_codes"),
        ("runs", "problem_code"),
        ("comparisons", "note_code"),
    ):
        connection.execute(f"ALTER TABLE {table} DROP COLUMN {column}")
    connection.close()
    with Index(path) as index, index.changing():
        index.store(replace(ENTRY, directory="/runs/b", reason_codes=(Finding(FindingCode.NO_METRIC),)), "s")
    assert ask(path, "SELECT reason_codes FROM runs ORDER BY run") == [
        ("[]",),
        ('[{"code": "no_metric", "values": {}}]',),
    ]


def test_the_database_of_another_program_is_refused(path):
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE photos (name TEXT)")
    connection.close()
    with pytest.raises(SpecError, match="another program's file"):
        Index(path)


@pytest.mark.parametrize(
    "content", [b"hello, this is no database at all" * 40, b"SQLite format 3\0" + b"x" * 4096]
)
def test_what_is_no_database_is_refused(path, content):
    path.write_bytes(content)
    with pytest.raises(SpecError, match="remove it"):
        Index(path)
    assert path.read_bytes() == content


WRITER = """
import sys
from dataclasses import replace
from pathlib import Path
sys.path.insert(0, {tests!r})
from test_index import ENTRY
from modeltest.dashboard.index import Index
with Index(Path({path!r})) as index:
    for number in range(20):
        with index.changing():
            index.store(replace(ENTRY, directory=f"/runs/{{sys.argv[1]}}/{{number}}"), "s")
"""


def test_processes_that_begin_and_write_one_index_at_once_lose_nothing(path):
    code = WRITER.format(tests=os.path.dirname(__file__), path=str(path))  # noqa: PTH120
    writers = [subprocess.Popen([sys.executable, "-c", code, name]) for name in "ab"]
    assert [writer.wait(timeout=120) for writer in writers] == [0, 0]
    assert ask(path, "SELECT count(*) FROM runs") == [(40,)]
    assert ask(path, "SELECT count(*) FROM metrics") == [(80,)]
    assert ask(path, "PRAGMA integrity_check") == [("ok",)]


def test_a_reader_is_not_in_the_way_of_a_writer(path):
    write(path, ENTRY)
    with Index(path) as index, index.changing():
        index.store(replace(ENTRY, directory="/runs/b"), "s")
        assert ask(path, "SELECT count(*) FROM runs") == [(1,)]
    assert ask(path, "SELECT count(*) FROM runs") == [(2,)]
