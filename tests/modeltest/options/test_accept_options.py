"""How a port is judged, by the command and by the words of run.sh."""

import json
from dataclasses import replace

import pytest
from click.testing import CliRunner

from modeltest.api import PackOptions, RunSpec, SpecError, TaskOptions
from modeltest.cli.root import root
from modeltest.options.accept import HowToJudge, judged_as

SPEC = RunSpec("hf", "accept", "accept", "auto", "/w", options=TaskOptions(pack=PackOptions("x.ref")))
WORDS = ("run", "hf", "accept", "x.ref", "auto", "none", "8")
COMMAND = ("accept", "x.ref", "--engine", "hf", "--model", "none")
HOW = ("--max-drop", "2%", "--answers-alone", "--undecided", "pass", "--limit", "7", "--seed", "3")


def spec_of(*words):
    done = CliRunner().invoke(root, [*words, "--dry-run"], standalone_mode=False, catch_exceptions=False)
    return json.loads(done.output)


def test_an_acceptance_takes_its_seed_and_limit_from_the_run():
    found = judged_as(replace(SPEC, seed=3, limit=7), HowToJudge(0.02, answers_alone=True, undecided="pass"))
    assert found.options.pack == PackOptions(
        "x.ref", order_seed=3, questions=7, max_drop=0.02, answers_alone=True, undecided_passes=True
    )
    assert judged_as(SPEC, HowToJudge()).options.pack == PackOptions("x.ref")


def test_what_judges_nothing_is_not_told_how():
    plain = RunSpec("hf", "full_BoolQ", "boolq", "auto", "/w")
    assert judged_as(plain, HowToJudge()) == plain
    with pytest.raises(SpecError, match="are of accept; boolq judges nothing"):
        judged_as(plain, HowToJudge(max_drop=0.01))


def test_words_judge_as_the_command_does():
    by_words, by_command = (spec_of(*words, *HOW)["options"]["pack"] for words in (WORDS, COMMAND))
    assert by_words == by_command
    assert (by_words["max_drop"], by_words["questions"], by_words["order_seed"]) == (0.02, 7, 3)
    assert by_words["answers_alone"]
    assert by_words["undecided_passes"]
