import hashlib
import json
import subprocess
import sys
from collections.abc import Callable

import pytest

from modeltest.api import (
    Case,
    Completion,
    JournalEnd,
    Measurement,
    ModelTestError,
    PrerequisiteError,
    RunSpec,
    Sample,
    Score,
)
from modeltest.run.record.journal import (
    JournalReader,
    JournalWriter,
    count_entries,
    end_of,
    lacks_digests,
    read_outcomes,
)
from modeltest.run.record.self_checks import Recorded

BOOLQ = RunSpec("fake", "full_BoolQ", "boolq", "gpt2", "W", batch_sizes=((1,),))


def _sample(name: str) -> Sample:
    score = Score(name, "s", "c", "yes", predicted="yes", correct=True, margin=1.0)
    return Sample(score, Completion(name, choice_logprobs=(-1.0, -2.0)), "00")


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
from modeltest.run.record.journal import JournalWriter
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
    _take_digests_off(path)
    with path.open("a") as file:
        file.write(line + "\n")
    with pytest.raises(ModelTestError, match="line 2: "):
        list(read_outcomes(path))


def _take_digests_off(path) -> None:
    """Make of a journal one of an older version."""
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    for line in lines:
        del line["digest"]
    path.write_text("".join(json.dumps(line, separators=(",", ":")) + "\n" for line in lines))


def test_every_line_ends_with_a_digest_that_anybody_can_compute(tmp_path):
    path = tmp_path / "samples.jsonl"
    with JournalWriter(path) as journal:
        journal.append([_sample("a"), _sample("b")])
        journal.append([_sample("c")])
    before = ""
    for line in path.read_text(encoding="utf-8").splitlines():
        body, _, rest = line.rpartition(',"digest":"')
        before = hashlib.sha256((before + body).encode()).hexdigest()
        assert rest == before + '"}'
        assert json.loads(line)["digest"] == before
    assert end_of(path) == JournalEnd(3, path.stat().st_size, before)


def test_the_digests_are_the_same_however_the_lines_were_appended(tmp_path):
    once, parts = tmp_path / "once.jsonl", tmp_path / "parts.jsonl"
    with JournalWriter(once) as journal:
        journal.append([_sample(name) for name in "abc"])
    for name in "abc":
        with JournalWriter(parts) as journal:
            journal.append([_sample(name)])
        parts.write_bytes(parts.read_bytes() + b'{"sample":{"sco')  # torn by a kill
    JournalWriter(parts).__exit__(None, None, None)
    assert parts.read_bytes() == once.read_bytes()


Lines = list[str]
EDITS: dict[str, tuple[int, Callable[[Lines], Lines]]] = {
    "an answer in the middle": (2, lambda lines: [lines[0], lines[1].replace("-2.0", "-1.5"), *lines[2:]]),
    "a line left out": (2, lambda lines: [lines[0], *lines[2:]]),
    "a line doubled": (3, lambda lines: [*lines[:2], lines[1], lines[2]]),
    "one doubled, another left out": (3, lambda lines: [*lines[:2], lines[1]]),
    "two lines exchanged": (1, lambda lines: [lines[1], lines[0], lines[2]]),
    "a digest left out": (3, lambda lines: [*lines[:2], lines[2].partition(',"digest"')[0] + "}"]),
    "written again by another program": (1, lambda lines: [json.dumps(json.loads(line)) for line in lines]),
}


@pytest.mark.parametrize(("number", "edit"), EDITS.values(), ids=EDITS)
def test_a8_an_edited_journal_line_is_refused_by_all_who_read_it(tmp_path, number, edit):
    path = tmp_path / "samples.jsonl"
    with JournalWriter(path) as journal:
        journal.append([_sample(name) for name in "abc"])
    recorded = Recorded(end_of(path), BOOLQ)
    assert len(list(JournalReader(path, Sample, recorded))) == 3
    path.write_text("".join(line + "\n" for line in edit(path.read_text().splitlines())))
    for read in (
        lambda: list(JournalReader(path, Sample, recorded)),
        lambda: list(JournalReader(path, Measurement)),
        lambda: list(read_outcomes(path)),
    ):
        with pytest.raises(ModelTestError, match=rf"samples\.jsonl, line {number}: "):
            read()


def test_a8_a_journal_without_its_digests_is_refused_where_run_json_has_the_last(tmp_path):
    path = tmp_path / "samples.jsonl"
    with JournalWriter(path) as journal:
        journal.append([_sample("a"), _sample("b")])
    recorded = Recorded(end_of(path))
    _take_digests_off(path)
    assert len(list(JournalReader(path, Sample, recorded))) == 2  # the last one is of what the lines say
    path.write_text(path.read_text().replace("-2.0", "-2.5", 1))
    with pytest.raises(ModelTestError, match="this is another end"):
        list(JournalReader(path, Sample, recorded))


def test_a8_more_lines_than_the_run_ended_with_are_refused(tmp_path):
    path = tmp_path / "samples.jsonl"
    with JournalWriter(path) as journal:
        journal.append([_sample("a")])
        recorded = Recorded(end_of(path))
        journal.append([_sample("b")])
    with pytest.raises(ModelTestError, match="line 2: the run ended with 1 lines"):
        list(JournalReader(path, Sample, recorded))


def test_a_journal_of_an_older_version_is_read_and_goes_on_with_digests_from_there(tmp_path):
    path = tmp_path / "samples.jsonl"
    with JournalWriter(path) as journal:
        journal.append([_sample("a"), _sample("b")])
    assert not lacks_digests(path)
    _take_digests_off(path)
    assert lacks_digests(path)
    assert list(JournalReader(path, Sample)) == [_sample("a"), _sample("b")]
    with JournalWriter(path) as journal:
        journal.append([_sample("c")])
    assert len(list(JournalReader(path, Sample))) == 3
    path.write_text(path.read_text().replace('"00"', '"01"', 1))
    with pytest.raises(ModelTestError, match=r"line 3: .* lines above it were changed"):
        list(JournalReader(path, Sample))


CONTRADICTIONS = {
    "question 'a': correct is true, but 'no' was answered and 'yes' is expected": {
        "score": {"predicted": "no"}
    },
    "question 'a': correct is false, but 'yes' was answered": {"score": {"correct": False}},
    "question 'a': predicted is 'yes', but the likeliest choice is 'no'": {
        "completion": {"choice_logprobs": [-2.0, -1.0]}
    },
    "question 'a': margin is 0.5, but the best two choices are 1.0 apart": {"score": {"margin": 0.5}},
    "question 'a' has an answer, and an error": {"score": {"error": "lost"}},
    "the score is of question 'a', the completion of 'c'": {"completion": {"request_id": "c"}},
    "question 'b' is answered a second time": {
        "score": {"request_id": "b"},
        "completion": {"request_id": "b"},
    },
}


@pytest.mark.parametrize(("reason", "change"), CONTRADICTIONS.items(), ids=CONTRADICTIONS)
def test_a8_a_line_without_digest_is_held_against_itself_and_the_others(tmp_path, reason, change):
    path = tmp_path / "samples.jsonl"
    with JournalWriter(path) as journal:
        journal.append([_sample("b"), _sample("a")])
    _take_digests_off(path)
    first, second = (json.loads(line) for line in path.read_text().splitlines())
    for part, values in change.items():
        second["sample"][part].update(values)
    path.write_text("".join(json.dumps(line) + "\n" for line in (first, second)))
    for read in (
        lambda: list(JournalReader(path, Sample, Recorded(spec=BOOLQ))),
        lambda: list(read_outcomes(path, Recorded(spec=BOOLQ))),
    ):
        with pytest.raises(ModelTestError, match=f"line 2: {reason}"):
            read()


@pytest.mark.parametrize(
    ("second", "reason"),
    [
        (Measurement(0, 2, 0, "measure", ()), "was measured a second time"),
        (Measurement(1, 2, 0, "measure", ()), "is of case 1, but the run has 1"),
        (Measurement(0, 1, 0, "measure", (Completion("r"),) * 2), "has 2 rows, more than its batch size"),
    ],
)
def test_a8_a_measurement_is_held_against_the_run_and_the_others(tmp_path, second, reason):
    path = tmp_path / "samples.jsonl"
    with JournalWriter(path) as journal:
        journal.append([Measurement(0, 2, 0, "measure", ()), second])
    spec = RunSpec("fake", "performance", "performance", "gpt2", "W", cases=(Case(8, 4),))
    with pytest.raises(ModelTestError, match=f"line 2: trial .* {reason}"):
        list(JournalReader(path, Measurement, Recorded(spec=spec)))
