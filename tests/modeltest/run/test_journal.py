import json
import subprocess
import sys

import pytest

from modeltest.api import Completion, Measurement, ModelTestError, PrerequisiteError, Sample, Score
from modeltest.run.journal import JournalReader, JournalWriter, count_entries, read_outcomes


def _sample(name: str) -> Sample:
    return Sample(Score(name, "s", "c", "yes", correct=True), Completion(name), "00")


def test_samples_and_measurements_are_read_back_apart(tmp_path):
    path = tmp_path / "samples.jsonl"
    measurement = Measurement(0, 1, 0, "measure", (Completion("m", token_times_ns=(5,)),))
    with JournalWriter(path) as journal:
        journal.append([_sample("a"), _sample("b")])
        journal.append([measurement])
    assert list(JournalReader(path, Sample)) == [_sample("a"), _sample("b")]
    assert list(JournalReader(path, Measurement)) == [measurement]


def test_what_is_appended_is_on_its_way_before_the_next_batch(tmp_path):
    path = tmp_path / "samples.jsonl"
    with JournalWriter(path) as journal:
        journal.append([_sample("a")])
        assert list(JournalReader(path, Sample)) == [_sample("a")]


def test_a_journal_is_continued_not_overwritten(tmp_path):
    path = tmp_path / "samples.jsonl"
    for name in ("a", "b"):
        with JournalWriter(path) as journal:
            journal.append([_sample(name)])
    assert len(list(JournalReader(path, Sample))) == 2


def test_a_journal_deleted_during_the_run_ends_it_at_the_next_batch(tmp_path):
    path = tmp_path / "samples.jsonl"
    with JournalWriter(path) as journal:
        journal.append([_sample("a")])
        path.unlink()
        with pytest.raises(PrerequisiteError, match="deleted during the run"):
            journal.append([_sample("b")])


def test_a_torn_last_line_is_passed_over(tmp_path):
    path = tmp_path / "samples.jsonl"
    with JournalWriter(path) as journal:
        journal.append([_sample("a"), _sample("b")])
    path.write_bytes(path.read_bytes()[:-7])
    assert list(JournalReader(path, Sample)) == [_sample("a")]


def test_a_damaged_line_in_the_middle_is_named(tmp_path):
    path = tmp_path / "samples.jsonl"
    path.write_text('{"sample": 1}\n{}\n')
    with pytest.raises(ModelTestError, match="line 1"):
        list(JournalReader(path, Sample))


def test_an_absent_journal_is_empty(tmp_path):
    assert list(JournalReader(tmp_path / "none.jsonl", Sample)) == []


def test_text_stays_readable(tmp_path):
    path = tmp_path / "samples.jsonl"
    with JournalWriter(path) as journal:
        journal.append([_sample("问题")])
    assert "问题" in path.read_text(encoding="utf-8")


FILL = """
import resource, sys
from pathlib import Path
from modeltest.api import Completion, PrerequisiteError, Sample, Score
from modeltest.run.journal import JournalWriter
resource.setrlimit(resource.RLIMIT_FSIZE, (5000, 5000))
sample = Sample(Score("x", "s", "c", "yes"), Completion("x"), "00")
with JournalWriter(Path(sys.argv[1])) as journal:
    try:
        for _ in range(1000):
            journal.append([sample] * 3)
    except PrerequisiteError as problem:
        print(problem)
"""


def test_a_full_disk_leaves_only_whole_batches(tmp_path):
    path = tmp_path / "samples.jsonl"
    done = subprocess.run([sys.executable, "-c", FILL, path], capture_output=True, text=True, check=True)
    assert done.stdout.startswith(f"cannot write {path}: ")
    lines = path.read_bytes().splitlines(keepends=True)
    assert len(lines) % 3 == 0
    assert len(lines) > 0
    assert all(line.endswith(b"\n") and json.loads(line) for line in lines)


@pytest.mark.parametrize("torn", [b'{"sample": {"sco', b"x", b"y" * 200_000])
def test_a_torn_last_line_is_cut_before_more_is_appended(tmp_path, torn):
    path = tmp_path / "samples.jsonl"
    with JournalWriter(path) as journal:
        journal.append([_sample("a")])
    whole = path.read_bytes()
    path.write_bytes(whole + torn)
    with JournalWriter(path) as journal:
        assert path.read_bytes() == whole
        journal.append([_sample("b")])
    assert list(JournalReader(path, Sample)) == [_sample("a"), _sample("b")]


def test_a_journal_of_nothing_but_a_torn_line_becomes_empty(tmp_path):
    path = tmp_path / "samples.jsonl"
    path.write_bytes(b'{"sample"')
    JournalWriter(path).__exit__(None, None, None)
    assert path.read_bytes() == b""


def test_only_whole_lines_count(tmp_path):
    path = tmp_path / "samples.jsonl"
    assert count_entries(path) == 0
    with JournalWriter(path) as journal:
        journal.append([_sample("a"), _sample("b")])
    path.write_bytes(path.read_bytes()[:-1])
    assert count_entries(path) == 1


def test_outcomes_are_those_of_the_samples(tmp_path):
    path = tmp_path / "samples.jsonl"
    failed = Sample(Score("b", "s", "c", "yes", error="why"), Completion("b"), "00")
    with JournalWriter(path) as journal:
        journal.append([_sample("a"), failed])
    assert list(read_outcomes(path)) == [("a", True), ("b", None)]


@pytest.mark.parametrize(
    "line",
    [
        "nonsense",
        "[]",
        "{}",
        '{"sample": {"score": {"request_id": 7, "correct": true}}}',
        '{"sample": {"score": {"request_id": "a", "correct": 1}}}',
        '{"measurement": {}}',
    ],
)
def test_outcomes_of_a_damaged_journal_are_refused_with_the_line(tmp_path, line):
    path = tmp_path / "samples.jsonl"
    with JournalWriter(path) as journal:
        journal.append([_sample("a")])
    with path.open("a") as file:
        file.write(line + "\n")
    with pytest.raises(ModelTestError, match="line 2: not the line of a sample"):
        list(read_outcomes(path))
