"""`modeltest doctor`: the general table, and the checks of `--ascend` on a machine that has none of it."""

import sys

import pytest
from click.testing import CliRunner

from modeltest.api import PrerequisiteError, SpecError
from modeltest.cli.doctor import doctor


def invoke(*arguments):
    return CliRunner().invoke(doctor, [str(argument) for argument in arguments])


def lines(result):
    return [line for line in result.output.splitlines() if line.strip()]


def test_a_machine_without_ascend_says_so_line_by_line_and_ends_with_three(monkeypatch):
    for name in ("ASCEND_HOME_PATH", "ATB_HOME_PATH", "ATB_SPEED_HOME_PATH", "ASCEND_TOOLKIT_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PATH", "")
    result = invoke("--ascend")
    assert isinstance(result.exception, PrerequisiteError)
    assert result.exception.exit_code == 3
    assert "checks stand in the way of a run: " in str(result.exception)
    found = lines(result)
    assert len(found) == 17
    assert any(line.startswith("absent   npu-smi ") and " -> docker run" in line for line in found)
    assert any(line.startswith("skipped  weights ") for line in found)


def test_a_checkpoint_and_a_task_are_checked_too(demo_model, made_up_dataset):
    data_dir = made_up_dataset("mmlu").parent
    weights = demo_model("gpt2")
    result = invoke(
        *("--ascend", "--model", weights, "--engine", "pa_fp16", "--chips", 2),
        *("--task", "mmlu", "--shots", 2, "--data-dir", data_dir, "--case", "100000,1"),
    )
    found = {line[9:30].strip(): line for line in lines(result)}
    assert found["weights"].startswith("ok ")
    assert found["torch_dtype"].startswith("wrong    torch_dtype          float32; atb_llm runs")
    assert "needed are 100000 + 1 tokens: the case asked for" in found["context"]
    assert "2 asked for" in found["visible devices"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--chips", 2), "belong to --ascend"),
        (("--ascend", "--task", "mmlu"), "--task needs --model DIR"),
        (("--ascend", "--engine", "pb"), "unknown engine 'pb'"),
        (("--ascend", "--task", "performance", "--model", "x"), "asks no questions"),
    ],
)
def test_wrong_words_are_refused(arguments, said):
    result = invoke(*arguments)
    assert isinstance(result.exception, SpecError), result.output
    assert said in str(result.exception)


def test_the_general_table_names_packages_and_datasets():
    result = invoke()
    assert result.exit_code == 0, result.output
    for name in ("modeltest", "transformers", "torch_npu", "dataset boolq", "ATB_SPEED_HOME_PATH"):
        assert name in result.output


def test_the_interpreter_of_an_engine_is_tried(monkeypatch):
    monkeypatch.setenv("COLUMNS", "300")
    monkeypatch.setenv("MODELTEST_ENGINE_PYTHON", sys.executable)
    this = ".".join(map(str, sys.version_info[:3]))
    assert f"{sys.executable}: Python {this} with this ModelTest" in invoke().output
    monkeypatch.setenv("MODELTEST_ENGINE_PYTHON", "/no/such/python")
    assert "/no/such/python does not exist; name the interpreter of an environment" in invoke().output
