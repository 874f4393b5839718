"""The commands with options ask for the same runs as the words of run.sh."""

import json

import pytest
from click.testing import CliRunner

from modeltest.api import AccuracyTask, PrerequisiteError, SpecError
from modeltest.cli.root import root
from modeltest.options.runs import PROTOCOLS
from modeltest.registry import load_task, task_names

MODEL = ["--engine", "fake", "--model", "none", "--profile", "llama"]


def invoke(*arguments):
    return CliRunner().invoke(root, [*arguments, "--dry-run"])


def spec_of(*arguments):
    result = invoke(*arguments)
    assert result.exit_code == 0, result.output
    return json.loads(result.output)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (
            [
                "accuracy",
                "--task",
                "mmlu",
                "--shots",
                "5",
                "--split",
                "sample",
                "--batch-size",
                "4",
                "--chat",
            ],
            ["sample_MMLU", "5", "4", "llama", "chat"],
        ),
        (
            ["performance", "--case", "8,4", "--case", "[16,2]", "--batch-size", "1", "--batch-size", "4"],
            ["performance", "[[8,4],[16,2]]", "[1,4]", "llama"],
        ),
        (
            ["maxbs", "--case", "8,4", "--case", "16,2", "--range", "1,9", "--limit-ms", "20"],
            ["performance_maxbs", "[[8,4],[16,2]]", "[[1,9],[1,9]]", "20", "llama"],
        ),
        (
            ["maxbs", "--case", "8,4", "--limit-ms", "20"],
            ["performance_maxbs", "[[8,4]]", "20", "llama"],
        ),
    ],
)
def test_options_and_words_give_the_same_spec(options, words):
    assert spec_of(*options, *MODEL) == spec_of("fake", *words, "none", "1")


@pytest.mark.parametrize(
    ("task", "error", "message"),
    [
        ("boolk", SpecError, "unknown task 'boolk'; available: .*did you mean boolq"),
        ("performance", SpecError, "task 'performance' asks no questions"),
        ("humaneval", PrerequisiteError, "task 'humaneval' is not available"),
    ],
)
def test_a_task_without_questions_is_told_from_one_still_to_come(task, error, message):
    with pytest.raises(error, match=message):
        root.main(["accuracy", "--task", task, *MODEL], standalone_mode=False)


def test_every_protocol_of_a_task_can_be_asked_for():
    tasks = [task for task in map(load_task, task_names()) if isinstance(task, AccuracyTask)]
    assert set(PROTOCOLS) == {protocol for task in tasks for protocol in task.protocols}
    for task in tasks:
        for protocol in task.protocols:
            spec = spec_of("accuracy", "--task", task.name, "--protocol", protocol, *MODEL)
            assert (spec["task"], spec["protocol"]) == (task.name, protocol)


@pytest.mark.parametrize("text", ["8", "8,4,2", "8,x", "0,4", "8,-4", ""])
def test_a_pair_is_two_positive_numbers(text):
    result = invoke("performance", "--case", text, *MODEL)
    assert result.exit_code == 2
    assert "is not two positive numbers such as 256,64" in result.output


def test_ranges_are_given_once_or_once_per_case():
    cases = [word for case in ("8,4", "8,5", "8,6") for word in ("--case", case)]
    with pytest.raises(SpecError, match="--range is given 2 times for 3 cases"):
        root.main(
            ["maxbs", *cases, "--range", "1,2", "--range", "1,3", "--limit-ms", "5", *MODEL],
            standalone_mode=False,
        )


def test_an_engine_word_and_a_dtype_must_agree():
    with pytest.raises(SpecError, match="--engine hf_fp32 means float32, --dtype asks for float16"):
        root.main(
            ["performance", "--case", "8,4", "--engine", "hf_fp32", "--dtype", "fp16", "--model", "none"],
            standalone_mode=False,
        )


def test_the_effort_of_a_timed_run_can_be_chosen():
    words = ("performance", "--case", "8,4", "--model", "W", "--engine", "fake")
    assert (spec_of(*words)["min_trials"], spec_of(*words)["case_budget_s"]) == (None, 300.0)
    chosen = spec_of(*words, "--min-trials", "44", "--case-budget-s", "9.5")
    assert (chosen["min_trials"], chosen["case_budget_s"]) == (44, 9.5)
    assert invoke(*words, "--min-trials", "0").exit_code == 2
    assert invoke(*words, "--case-budget-s", "-1").exit_code == 2


def test_a9_a_model_can_be_given_a_name():
    accuracy = ("accuracy", "--task", "boolq", *MODEL)
    assert spec_of(*accuracy)["known_as"] is None
    assert spec_of(*accuracy, "--as", "nightly 7B")["known_as"] == "nightly 7B"
    for name in ("", " ", "two\nlines", "x" * 81):
        result = invoke(*accuracy, "--as", name)
        assert result.exit_code == 2
        assert "is no name; 1 to 80 printable characters are" in result.output
