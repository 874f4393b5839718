"""`locate` as a task and as a command: what is refused, and a whole run of workers."""

import json
import os
import subprocess
import sys
from dataclasses import replace

import pytest

from modeltest.api import (
    ModelTestError,
    PrerequisiteError,
    RunSpec,
    SpecError,
    TaskOptions,
)
from modeltest.api.spec import LocateOptions
from modeltest.locate.evaluation import prepare
from modeltest.locate.files import RESULT_FILE, TABLE_FILE, read_located
from modeltest.locate.task import Locate
from modeltest.registry import load_engine


def spec_of(reference, **more):
    options = TaskOptions(locate=LocateOptions(str(reference)))
    return RunSpec("hf", "locate", "locate", "auto", str(reference), options=options, **more)


def located(*words):
    return subprocess.run(
        [sys.executable, "-m", "modeltest", "locate", *map(str, words)],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        check=False,
        capture_output=True,
        text=True,
        timeout=280,
    )


def test_a_reference_that_is_no_checkpoint_is_refused(tmp_path):
    with pytest.raises(SpecError, match=r"--reference .* no checkpoint"):
        Locate().check(spec_of(tmp_path))


def test_a_run_without_a_reference_is_refused(tmp_path):
    with pytest.raises(SpecError, match="no reference is named"):
        Locate().check(replace(spec_of(tmp_path), options=TaskOptions()))


def test_several_ranks_are_refused(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(SpecError, match="2 ranks"):
        Locate().check(spec_of(tmp_path, world_size=2))


def test_an_engine_that_keeps_its_model_is_refused(tmp_path):
    with pytest.raises(PrerequisiteError, match="engine fake does not give its model away"):
        prepare(spec_of(tmp_path), load_engine("fake"))


@pytest.mark.parametrize("content", [None, "{}", "[1"])
def test_a_run_without_a_result_is_an_error_of_one_line(tmp_path, content):
    if content is not None:
        (tmp_path / RESULT_FILE).write_text(content)
    with pytest.raises(ModelTestError, match=RESULT_FILE):
        read_located(tmp_path)


def test_a_fault_is_named_by_a_whole_run(tmp_path, demo_model):
    reference, candidate = demo_model("llama"), demo_model("llama", "bfloat16")
    words = ("--reference", reference, "--model", candidate, "--engine", "faulty", "--limit", 2)
    fault = ("--engine-option", "fault=attention_scale:1.05", "--output", tmp_path)
    done = located(*words, *fault)
    assert done.returncode == 0, done.stderr
    (directory,) = tmp_path.iterdir()
    answer = done.stdout.splitlines()[-1]
    assert answer.startswith("layer 0, attention: scale, mask and softmax (error ")
    content = json.loads((directory / RESULT_FILE).read_text())
    assert (content["answer"], content["departs"], content["prompts"]) == (answer, True, 2)
    assert content["departures"][0]["change"] == "scale of the scores"
    assert content["departures"][0]["coefficient"] == pytest.approx(0.05, rel=0.2)
    assert answer in (directory / TABLE_FILE).read_text()
    metrics = json.loads((directory / "run.json").read_text())["summary"]["metrics"]
    assert {each["task"] for each in metrics} >= {"embedding", "layer 0", "layer 1", "final norm", "head"}


def test_a_right_candidate_departs_nowhere_in_a_whole_run(tmp_path, demo_model):
    reference, candidate = demo_model("llama"), demo_model("llama", "bfloat16")
    done = located("--reference", reference, "--model", candidate, "--output", tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "no layer departs: all are within rounding"


def test_a_candidate_of_another_shape_is_refused(tmp_path, demo_model):
    words = ("--reference", demo_model("llama"), "--model", demo_model("gpt2"), "--output", tmp_path)
    done = located(*words)
    assert done.returncode == 5
    assert "the model is another than the reference" in done.stderr
