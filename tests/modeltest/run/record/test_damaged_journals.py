"""Journals that were edited or cut after their run had ended, in the hands of all who read them."""

import fcntl
import json
import re
import shutil
import sqlite3
from typing import NamedTuple

import pytest
from click.testing import CliRunner
from run_processes import BOOLQ, PERFORMANCE, journal, read, run, run_directory

from modeltest.api import ModelTestError
from modeltest.cli.root import root

WRONG = r'"correct": ?false'
MAX_BATCH = ["fake", "performance_maxbs", "[[16,4]]", "[[1,4]]", "200", "llama", "none", "1"]


@pytest.fixture(scope="module")
def accuracy(tmp_path_factory):
    return _finished(tmp_path_factory.mktemp("accuracy"), BOOLQ)


@pytest.fixture(scope="module")
def performance(tmp_path_factory):
    return _finished(tmp_path_factory.mktemp("performance"), PERFORMANCE)


@pytest.fixture(scope="module")
def max_batch(tmp_path_factory):
    return _finished(tmp_path_factory.mktemp("maxbs"), MAX_BATCH)


class Done(NamedTuple):
    stdout: str
    stderr: str


def run_command(*words, expect=0):
    """Run a command in this process and return what it printed, with the line of an error."""
    result = CliRunner().invoke(root, words, standalone_mode=False)
    error, status = "", result.return_value
    if isinstance(result.exception, ModelTestError):
        error, status = str(result.exception), result.exception.exit_code
    elif result.exception is not None:
        raise result.exception
    assert (status or 0) == expect, result.output
    return Done(result.stdout, result.stderr + error)


def resume(directory, expect=0):
    return run_command("run", "--resume", str(directory), expect=expect)


def _finished(output, words):
    run(*words, output=output)
    return run_directory(output)


def _copy(directory, tmp_path):
    return shutil.copytree(directory, tmp_path / "copy" / directory.name)


def _edit(directory, change):
    path = directory / "samples.jsonl"
    path.write_text("".join(change(path.read_text().splitlines(keepends=True))))


def _claim_a_wrong_answer_right(lines):
    at = next(number for number, line in enumerate(lines) if re.search(WRONG, line))
    return [*lines[:at], re.sub(WRONG, '"correct": true', lines[at]), *lines[at + 1 :]]


def _double_one_and_leave_another_out(lines):
    return [*lines[:5], lines[3], *lines[6:]]


def _without_digests(lines):
    values = [json.loads(line) for line in lines]
    return [json.dumps({key: value[key] for key in value if key != "digest"}) + "\n" for value in values]


def _as_an_older_version_left_it(directory):
    _edit(directory, _without_digests)
    run_json = read(directory)
    run_json["journal"] = None
    (directory / "run.json").write_text(json.dumps(run_json))


@pytest.mark.parametrize("is_older", [False, True])
@pytest.mark.parametrize("edit", [_claim_a_wrong_answer_right, _double_one_and_leave_another_out])
def test_a8_edited_journal_line_is_refused_by_report_compare_and_dashboard(
    accuracy, tmp_path, edit, is_older
):
    edited = _copy(accuracy, tmp_path)
    if is_older:
        _as_an_older_version_left_it(edited)
    _edit(edited, edit)
    before = read(edited)
    for status, command in (
        (1, ["report", str(edited)]),
        (1, ["report", str(edited), "--format", "legacy"]),
        (2, ["compare", str(accuracy), str(edited)]),
        (2, ["compare", str(edited), str(accuracy)]),
    ):
        done = run_command(*command, expect=status)
        assert "samples.jsonl, line " in done.stderr
        assert "bring the file back as the run left it, or run again" in done.stderr
    assert read(edited) == before
    site = tmp_path / "site"
    run_command("dashboard", str(edited), "--out", str(site))
    with sqlite3.connect(site / "index.sqlite") as index:
        ((state, problem, metrics),) = index.execute(
            "SELECT state, problem, (SELECT COUNT(*) FROM metrics) FROM runs"
        )
    assert (state, metrics) == ("unreadable", 0)
    assert problem.startswith("samples.jsonl, line ")


def test_a8_run_json_has_the_end_of_the_journal(accuracy):
    lines = (accuracy / "samples.jsonl").read_text().splitlines()
    assert read(accuracy)["journal"] == {
        "lines": 24,
        "bytes": (accuracy / "samples.jsonl").stat().st_size,
        "sha256": json.loads(lines[-1])["digest"],
    }


def test_a8_an_edited_measurement_is_refused(performance, tmp_path):
    edited = _copy(performance, tmp_path)
    _edit(edited, lambda lines: [lines[0].replace('"phase":"warmup"', '"phase":"measure"'), *lines[1:]])
    assert "samples.jsonl, line 1: " in run_command("report", str(edited), expect=1).stderr
    assert "samples.jsonl, line 1: " in run_command("compare", *2 * [str(edited)], expect=2).stderr


def test_a8_a_stopped_run_with_an_edited_line_does_not_go_on(accuracy, tmp_path):
    stopped = _copy(accuracy, tmp_path)
    _edit(stopped, lambda lines: _claim_a_wrong_answer_right(lines)[:12])
    assert "samples.jsonl, line " in resume(stopped, expect=1).stderr


def test_a_journal_of_an_older_version_is_read_and_this_is_told(accuracy, tmp_path):
    older = _copy(accuracy, tmp_path)
    _as_an_older_version_left_it(older)
    told = "samples.jsonl was begun by a version that wrote no digests"
    compared = run_command("compare", str(older), str(accuracy))
    assert compared.stdout.count(told) == 1
    reported = run_command("report", str(older))
    assert reported.stdout.count(told) == 1
    assert "verdict: VALID" in reported.stdout
    assert [each["code"] for each in read(older)["findings"]] == ["journal_without_digests"]
    assert run_command("compare", str(older), str(accuracy)).stdout.count(told) == 1


@pytest.mark.parametrize("is_older", [False, True])
def test_b8_a_complete_run_that_lost_lines_is_incomplete_and_goes_on(accuracy, tmp_path, is_older):
    cut = _copy(accuracy, tmp_path)
    if is_older:
        _as_an_older_version_left_it(cut)
    path = cut / "samples.jsonl"
    path.write_bytes(path.read_bytes()[:-50])
    lost = "samples.jsonl has lost 1 of the 24 lines that it ended with"
    assert lost in run_command("compare", str(accuracy), str(cut), expect=2).stderr
    reported = run_command("report", str(cut), expect=1)
    assert "PARTIAL: sample_BoolQ" in reported.stdout
    assert "verdict: INVALID" in reported.stdout
    assert f"the run is partial: {lost}" in reported.stdout
    assert read(cut)["status"] == "partial"
    assert lost in run_command("compare", str(accuracy), str(cut), expect=2).stderr
    resumed = resume(cut)
    assert f"going on after 23 questions or trials; it was stopped: {lost}" in resumed.stderr
    assert "verdict: VALID" in resumed.stdout
    for field in ("summary", "verdict", "status"):
        assert read(cut)[field] == read(accuracy)[field]
    assert _samples(cut) == _samples(accuracy)
    if not is_older:
        assert read(cut)["journal"]["sha256"] == read(accuracy)["journal"]["sha256"]
    assert not (cut / "partial").exists()


def _samples(directory):
    return [line["sample"] for line in journal(directory)]


def test_b8_resume_asks_all_lost_lines_at_once_without_a_report_between(accuracy, tmp_path):
    cut = _copy(accuracy, tmp_path)
    _edit(cut, lambda lines: lines[:7])
    resumed = resume(cut)
    assert "samples.jsonl has lost 17 of the 24 lines" in resumed.stderr
    assert (cut / "samples.jsonl").read_bytes() == (accuracy / "samples.jsonl").read_bytes()
    assert read(cut)["interruptions"][0]["done"] == 7


@pytest.mark.parametrize("kind", ["performance", "max_batch"])
def test_b8_lost_trials_are_measured_again(request, tmp_path, kind):
    cut = _copy(request.getfixturevalue(kind), tmp_path)
    trials = journal(cut)
    _edit(cut, lambda lines: lines[:2])
    assert "the run is partial: samples.jsonl has lost" in run_command("report", str(cut), expect=1).stdout
    resume(cut)
    assert read(cut)["status"] == "complete"
    assert journal(cut)[:2] == trials[:2]
    assert len({_place(line) for line in journal(cut)}) == len(journal(cut)) > 2


def _place(line):
    measurement = line["measurement"]
    return tuple(measurement[name] for name in ("case_index", "batch_size", "trial"))


def test_b8_a_suite_does_not_call_a_run_complete_that_lost_lines(tmp_path):
    pytest.importorskip("yaml")
    tasks = [{"accuracy": {"task": "boolq", "split": "sample", "batch-size": 4}}]
    suite = {"models": ["none"], "engines": ["fake"], "tasks": tasks}
    (tmp_path / "suite.yaml").write_text(json.dumps(suite))
    run_command("suite", str(tmp_path / "suite.yaml"), "--output", str(tmp_path / "out"))
    (directory,) = (tmp_path / "out").iterdir()
    (run_json,) = directory.glob("*/run.json")
    _edit(run_json.parent, lambda lines: lines[:-1])
    resumed = run_command("suite", "--resume", str(directory))
    assert "has lost 1 of the 24 lines" in resumed.stderr
    assert len(journal(run_json.parent)) == 24


def test_b9_report_waits_for_the_lock_of_the_run_and_says_that_it_is_still_going(accuracy, tmp_path):
    going = _copy(accuracy, tmp_path)
    before = read(going)
    with (going / "log.txt").open("ab") as log:
        fcntl.flock(log, fcntl.LOCK_SH)  # as the run has it
        for words in ([], ["--format", "legacy"]):
            done = run_command("report", str(going), *words, expect=3)
            assert f"the run in {going} is still going" in done.stderr
    assert read(going) == before
    run_command("report", str(going))


def test_report_of_a_directory_without_a_run_leaves_nothing_there(tmp_path):
    assert "is not a run" in run_command("report", str(tmp_path), expect=2).stderr
    assert list(tmp_path.iterdir()) == []
