"""The words of run.sh on the command line: options anywhere among them, and numbers below zero."""

import json

import pytest
from click.testing import CliRunner

from modeltest.cli.root import root

WORDS = ["fake", "sample_MMLU", "5", "4", "llama", "none", "1"]


def invoke(*arguments):
    return CliRunner().invoke(root, arguments)


def spec_of(*arguments):
    result = invoke(*arguments, "--dry-run")
    assert result.exit_code == 0, result.output
    return json.loads(result.output)


@pytest.mark.parametrize("position", range(len(WORDS) + 1))
def test_options_may_stand_anywhere(position):
    words = [*WORDS[:position], "--limit", "3", "--seed=7", *WORDS[position:]]
    spec = spec_of(*words)
    assert (spec["limit"], spec["seed"]) == (3, 7)
    assert spec == spec_of(*WORDS, "--limit", "3", "--seed", "7")


def test_numbers_below_zero_are_words():
    spec = spec_of("fake", "performance", "[[8,4]]", "1", "llama", "none", "1", "[-1,1]", "-1")
    assert spec["parallel"]["dp"] == -1
    assert spec["max_position_embeddings"] is None


@pytest.mark.parametrize("position", range(len(WORDS) + 1))
@pytest.mark.parametrize("option", ["--limt", "--limt=3", "-x"])
def test_an_unknown_option_is_called_one_wherever_it_stands(position, option):
    result = invoke(*WORDS[:position], option, *WORDS[position:])
    assert result.exit_code == 2
    assert f"No such option '{option.partition('=')[0]}'" in result.output.replace(":", "")


def test_an_unknown_option_comes_with_the_one_that_was_meant():
    assert "--limit" in invoke(*WORDS, "--limt", "3").output


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (["--limit", "0"], "0 is not in the range 1<=x<=1000000000"),
        (["--limit", "abc"], "'abc' is not a valid integer"),
        (["--limit"], "requires an argument"),
        (["--protocol", "helm"], "'helm' is not one of"),
        (["--engine-option", "step_ms"], "expected NAME=VALUE"),
    ],
)
def test_a_wrong_value_says_what_is_allowed(options, problem):
    result = invoke(*WORDS, "--dry-run", *options)
    text = result.output + str(result.exception)
    assert problem in text


def test_a_wrong_environment_variable_is_named(monkeypatch):
    monkeypatch.setenv("MODELTEST_DEVICE", "gpu")
    assert "MODELTEST_DEVICE" in invoke(*WORDS, "--dry-run").output


def test_no_words_at_all_show_the_usage():
    result = invoke("run")
    assert result.exit_code == 2
    assert result.output.startswith("usage: run.sh TYPE MODE")
