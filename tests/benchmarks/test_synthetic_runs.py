"""Synthetic runs are valid runs: the reports can be written, schemas hold, equal seeds give equal numbers."""

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator
from synthetic.lines import LINES, Change
from synthetic.runs import Plan, plans, write_odd_runs, write_run, write_runs

from modeltest.api import ModelTestError, Verdict
from modeltest.run.ending.finish import summarize
from modeltest.run.record.directory import read_result
from modeltest.schema import DIRECTORY

ROOT = Path(__file__).resolve().parents[2]
BY_MODE = {line.mode: line for line in reversed(LINES)}


def run(folder, mode, night=0, **options):
    return write_run(folder, Plan(BY_MODE[mode], night, 0), questions=60, **options)


@pytest.mark.parametrize("mode", BY_MODE)
def test_a_synthetic_run_has_the_files_and_the_summary_of_a_real_one(tmp_path, mode):
    directory = run(tmp_path, mode)
    plain = json.loads((directory / "run.json").read_text())
    schema = json.loads((DIRECTORY / "run.schema.json").read_text())
    Draft202012Validator(schema).validate(plain)
    result = read_result(directory)
    assert result.status == "complete"
    assert result.verdict in (Verdict.VALID, Verdict.NOISY)
    assert "synthetic" in result.engine.notes[0]
    assert summarize(result, directory) == result.summary


def test_the_reports_of_a_synthetic_run_can_be_asked_for(tmp_path):
    directory = run(tmp_path, "full_BoolQ", reports=True)
    assert {"accuracy.json", "metrics.json"} <= {path.name for path in directory.iterdir()}


@pytest.mark.parametrize("mode", BY_MODE)
def test_equal_seeds_give_equal_numbers_and_others_do_not(tmp_path, mode):
    one, same, other = (
        run(tmp_path / name, mode, seed=seed) for name, seed in (("one", 1), ("same", 1), ("other", 2))
    )
    # The memory of the process that made them up is real, and digests cover it.
    texts = [
        re.sub(r'"peak_host_memory_bytes":\w+|"digest":"\w+"', "", (directory / "samples.jsonl").read_text())
        for directory in (one, same, other)
    ]
    assert texts[0] == texts[1]
    assert texts[0] != texts[2]


def test_a_change_holds_from_its_first_night_to_before_its_last():
    change = Change(first=2, last=4)
    assert [change.holds(night) for night in range(5)] == [False, False, True, True, False]
    assert replace(change, last=None).holds(99)


def test_runs_are_dealt_out_night_by_night():
    found = list(plans(len(LINES) + 2))
    assert [plan.night for plan in found[-3:]] == [0, 1, 1]
    assert [plan.line for plan in found[-2:]] == [*LINES[:2]]


def test_as_many_are_written_as_asked_for_each_in_a_directory_of_its_own(tmp_path):
    assert len(set(write_runs(tmp_path, 3, questions=60))) == 3


def test_odd_runs_are_odd(tmp_path):
    failed, running, partial, damaged = write_odd_runs(tmp_path, Plan(BY_MODE["full_BoolQ"], 0, 0))
    states = [read_result(directory).status for directory in (failed, running, partial)]
    assert states == ["failed", "running", "partial"]
    with pytest.raises(ModelTestError, match=r"run\.json cannot be read"):
        read_result(damaged)
