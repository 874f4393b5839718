import json
import os
from dataclasses import replace
from datetime import datetime

import pytest

from modeltest.api import (
    Completion,
    ModelInfo,
    ModelTestError,
    PrerequisiteError,
    RunResult,
    RunSpec,
    Sample,
    Score,
    SpecError,
    Verdict,
)
from modeltest.run.record.directory import create_run_directory, read_result, remove_scratch, write_result
from modeltest.run.record.journal import JournalWriter

STARTED = datetime(2026, 1, 2, 3, 4, 5)
MODEL = ModelInfo("llama", "llama2_7b", "/w", "llama", "float16", None, 4096, 128, 8, None)
RESULT = RunResult(
    spec=RunSpec(engine="fake", mode="sample_BoolQ", task="boolq", model="llama", weights="/w"),
    started="2026-01-02T03:04:05+00:00",
    status="complete",
    model=MODEL,
    adapter="fake",
    engine=None,
    dataset=None,
    machine={"cpus": 2, "cpu_governor": None},
    verdict=Verdict.VALID,
)


def test_a_directory_is_named_by_time_and_run(tmp_path):
    directory = create_run_directory(str(tmp_path), started=STARTED, name="full_BoolQ_gemma-2b_hf")
    assert directory == tmp_path / "20260102-030405_full_BoolQ_gemma-2b_hf"


def test_two_runs_in_the_same_second_get_different_directories(tmp_path):
    made = {create_run_directory(str(tmp_path), started=STARTED, name="x") for _ in range(3)}
    assert {path.name for path in made} == {"20260102-030405_x", "20260102-030405_x-2", "20260102-030405_x-3"}


def test_names_hold_only_characters_that_every_runtime_accepts(tmp_path):
    directory = create_run_directory(str(tmp_path), started=STARTED, name="a b+c=d/e")
    assert directory.name == "20260102-030405_a-b-c-d-e"


def test_an_impossible_place_is_one_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(PrerequisiteError, match="--output"):
        create_run_directory(str(tmp_path / "file"), started=STARTED, name="x")


def test_a_result_is_read_back_with_its_journal(tmp_path):
    sample = Sample(Score("a", "s", "c", "yes", error="lost"), Completion("a", error="lost"), "00")
    write_result(tmp_path, RESULT)
    with JournalWriter(tmp_path / "samples.jsonl") as journal:
        journal.append([sample])
    result = read_result(tmp_path)
    assert list(result.samples) == [sample]
    assert list(result.samples) == [sample]
    assert replace(result, samples=(), measurements=()) == RESULT


def test_a_directory_without_a_run_is_a_wrong_word(tmp_path):
    with pytest.raises(SpecError, match="is not a run"):
        read_result(tmp_path)


@pytest.mark.parametrize("text", ["{", "[]", '{"schema": 99}', '{"schema": 1, "status": 3}'])
def test_a_damaged_run_file_is_named(tmp_path, text):
    (tmp_path / "run.json").write_text(text)
    with pytest.raises(ModelTestError, match=r"run\.json"):
        read_result(tmp_path)


def test_files_are_json_that_people_can_read(tmp_path):
    write_result(tmp_path, RESULT)
    text = (tmp_path / "run.json").read_text()
    assert json.loads(text)["spec"]["engine"] == "fake"
    assert text.count("\n") > 20


def test_what_a_killed_process_was_writing_is_removed_and_nothing_else(tmp_path):
    kept = {"run.json", "samples.jsonl", ".hidden", "notes.tmp", "plots/margins.png"}
    scratch = {".run.json.0a1b2c3d.tmp", "plots/.margins.png.0a1b2c3d.tmp", "partial/plots/.x.svg.1.tmp"}
    for name in kept | scratch:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    for name in (".events", ".next"):
        os.mkfifo(tmp_path / name)
    remove_scratch(tmp_path)
    assert left_in(tmp_path) == kept


def test_what_a_run_in_a_suite_is_writing_is_left_to_it(tmp_path):
    (tmp_path / "001_run").mkdir()
    being_written = {"001_run/run.json", "001_run/.run.json.0a1b2c3d.tmp"}
    for name in being_written | {".suite.json.0a1b2c3d.tmp"}:
        (tmp_path / name).touch()
    remove_scratch(tmp_path)
    assert left_in(tmp_path) == being_written


def left_in(folder):
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if not path.is_dir()}
