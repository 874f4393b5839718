import json
import os
import shutil

import pytest
from dashboard_runs import BOOLQ, LATENCY, Plan, nights, write_odd_runs

from modeltest.api import RunState, SpecError
from modeltest.compare.tolerances import Tolerances
from modeltest.dashboard import update
from modeltest.dashboard.index import FILE_NAME, Index
from modeltest.dashboard.load import load_dashboard
from modeltest.dashboard.update import accept_runs, update_index


@pytest.fixture
def index(tmp_path):
    site = tmp_path / "site"
    site.mkdir()
    with Index(site / FILE_NAME) as opened:
        yield opened


@pytest.fixture
def runs(tmp_path):
    folder = tmp_path / "outputs"
    nights(folder, BOOLQ, 3)
    return folder


def look(index, *roots):
    return update_index(index, roots, leave_out=roots[0] / "site")


def directories(runs):
    return sorted(path for path in runs.iterdir() if path.is_dir())


def load(index):
    return load_dashboard(index, Tolerances())


def test_new_runs_are_read_and_known_ones_are_not(index, runs, monkeypatch):
    assert len(look(index, runs).new) == 3
    read = []
    monkeypatch.setattr(update, "read_entry", read.append)
    changes = look(index, runs)
    assert (changes.unchanged, changes.new, changes.changed, changes.gone, read) == (3, [], [], [], [])


def test_a_changed_run_is_read_again(index, runs):
    look(index, runs)
    path = directories(runs)[1] / "run.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "verdict": "INVALID"}))
    assert look(index, runs).changed == [str(path.parent)]
    verdicts = [run.verdict.value for run in load(index).runs.values()]
    assert verdicts == ["VALID", "INVALID", "VALID"]


def test_a_run_that_was_copied_back_is_not_read_again(index, runs, monkeypatch):
    look(index, runs)
    before = load(index)
    os.utime(directories(runs)[1] / "run.json")
    monkeypatch.setattr(update, "read_entry", None)
    assert look(index, runs).unchanged == 3
    assert load(index) == before


def test_a_report_that_was_added_is_known(index, runs):
    look(index, runs)
    (directories(runs)[1] / "report.html").write_text("page")
    look(index, runs)
    reports = [run.report for run in load(index).runs.values()]
    assert reports == [None, str(directories(runs)[1] / "report.html"), None]


def test_a_run_whose_directory_is_gone_leaves(index, runs):
    look(index, runs)
    gone = directories(runs)[0]
    shutil.rmtree(gone)
    assert look(index, runs).gone == [str(gone)]
    assert len(load(index).runs) == 2


def test_a_single_new_run_is_added_to_those_known(index, runs, tmp_path):
    look(index, runs)
    (new,) = nights(tmp_path / "elsewhere", LATENCY, 1)
    changes = look(index, new)
    assert changes.new == [str(new)]
    assert changes.unchanged == 3
    assert len(load(index).runs) == 4


def test_a_known_run_outside_the_folders_given_is_asked_for_too(index, runs, tmp_path):
    look(index, runs)
    shutil.rmtree(directories(runs)[2])
    (new,) = nights(tmp_path / "elsewhere", LATENCY, 1)
    assert len(look(index, new).gone) == 1


def test_runs_that_cannot_be_read_or_did_not_end_are_listed_as_such(index, runs):
    odd = write_odd_runs(runs, Plan(BOOLQ, 9, 0))
    (runs / "20260401-000000_full_BoolQ_m_hf").mkdir()
    look(index, runs)
    found = {run.directory: run for run in load(index).runs.values()}
    states = [found[str(path)].state for path in odd]
    assert states == [RunState.FAILED, RunState.RUNNING, RunState.PARTIAL, RunState.UNREADABLE]
    assert "run.json cannot be read" in found[str(odd[3])].problem
    empty = found[str(runs / "20260401-000000_full_BoolQ_m_hf")]
    assert (empty.state, empty.problem) == (RunState.UNREADABLE, "it has no run.json")
    assert found[str(odd[0])].problem.startswith("the worker was killed")
    assert all(not found[str(path)].metrics for path in odd)


def test_the_part_of_another_node_is_told_and_makes_no_history_of_its_own(index, runs):
    look(index, runs)
    path = directories(runs)[2] / "run.json"
    content = json.loads(path.read_text())
    cluster = {"rank_table": "t.json", "nodes": 2, "rank_start": 1, "master_address": "10.0.0.1"}
    content |= {"status": "followed", "summary": None, "verdict": None}
    path.write_text(json.dumps({**content, "spec": {**content["spec"], "world_size": 2, "cluster": cluster}}))
    look(index, runs)
    shown = load(index)
    found = {run.directory: run for run in shown.runs.values()}[str(path.parent)]
    assert (found.state, found.history, found.metrics) == (RunState.FOLLOWED, None, ())
    assert found.problem == "the part of another node; the results are on the first one, 10.0.0.1"
    assert [len(history.runs) for history in shown.histories] == [2]


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[]",
        "null",
        '{"schema": 99}',
        '{"schema": 1}',
        "[" * 100_000,
        "\x00\xff",
        '{"schema": 1, "spec": 7}',
    ],
)
def test_any_garbage_is_a_run_that_cannot_be_read(index, runs, content):
    path = directories(runs)[1] / "run.json"
    path.write_bytes(content.encode("latin-1"))
    look(index, runs)
    states = [run.state.value for run in load(index).runs.values()]
    assert sorted(states) == ["complete", "complete", "unreadable"]
    assert all(run.problem for run in load(index).runs.values() if run.state is RunState.UNREADABLE)


def test_a_damaged_journal_makes_a_run_that_cannot_be_read(index, runs):
    with (directories(runs)[1] / "samples.jsonl").open("a") as journal:
        journal.write("{broken\n")
    look(index, runs)
    (bad,) = [run for run in load(index).runs.values() if run.state is RunState.UNREADABLE]
    assert bad.problem.startswith("samples.jsonl, line 121: it has no digest")


def test_a_run_that_was_mended_is_read_again(index, runs):
    path = directories(runs)[1] / "run.json"
    text = path.read_text()
    path.write_text("{")
    look(index, runs)
    path.write_text(text)
    assert len(look(index, runs).changed) == 1
    assert {run.state for run in load(index).runs.values()} == {RunState.COMPLETE}


def test_a_copy_of_a_run_is_listed_and_not_counted(index, runs):
    original = directories(runs)[1]
    copy = shutil.copytree(original, runs / "copied")
    look(index, runs)
    shown = load(index)
    (found,) = [run for run in shown.runs.values() if run.state is RunState.COPY]
    assert {found.directory, found.problem} == {str(copy), f"the same run as {original}"}
    (history,) = shown.histories
    assert len(history.runs) == 3


def test_a_copy_takes_the_place_of_its_original_when_that_is_gone(index, runs):
    original = directories(runs)[1]
    shutil.copytree(original, runs / "copied")
    look(index, runs)
    shutil.rmtree(original)
    look(index, runs)
    assert {run.state for run in load(index).runs.values()} == {RunState.COMPLETE}


def test_only_a_known_run_can_be_accepted(index, runs, tmp_path):
    look(index, runs)
    with pytest.raises(SpecError, match=r"--accept .*nowhere: the dashboard has no such run"):
        accept_runs(index, [tmp_path / "nowhere"])
    accept_runs(index, directories(runs)[1:2])
    assert [row["accepted"] for row in index.rows("SELECT accepted FROM runs ORDER BY run")] == [0, 1, 0]
