"""How often the limit of the gate `divergence` fails right ways of computing, and which faults it lets pass.

`measured_divergences.json` holds the KL divergence of each question between two ways of asking SmolLM2, as
`benchmarks/rounding.py` measured it. The limits were chosen on MMLU; what is claimed of them is shown on the
questions of BoolQ and C-Eval. A run is simulated by drawing questions with replacement.
"""

import json
from pathlib import Path

import pytest

from modeltest.rounding import RESOLUTIONS

numpy = pytest.importorskip("numpy")

MEASURED = json.loads(Path(__file__).with_name("measured_divergences.json").read_text(encoding="utf-8"))
CHOSEN_ON = "mmlu"
DRAWS = 20_000


def which(**wanted):
    """Return the measured pairs with these fields, named for pytest."""
    found = [each for each in MEASURED if all(each[key] == value for key, value in wanted.items())]
    assert found
    return [
        pytest.param(each, id=f"{each['task']}, {each['reference']}, {each['candidate']}") for each in found
    ]


def means(pair, questions):
    values = numpy.array(pair["divergences"])
    return numpy.random.default_rng(0).choice(values, size=(DRAWS, questions)).mean(axis=1)


def share_that_fails(pair, questions):
    return float((means(pair, questions) > RESOLUTIONS[pair["dtype"]].mean_kl).mean())


@pytest.mark.parametrize("pair", which(task=CHOSEN_ON))
def test_limits_are_at_least_twice_what_20_questions_exceed_once_in_1000_runs(pair):
    assert RESOLUTIONS[pair["dtype"]].mean_kl >= 2 * numpy.quantile(means(pair, 20), 0.999)


@pytest.mark.parametrize("questions", [20, 100])
@pytest.mark.parametrize("pair", [*which(task="boolq", is_right=True), *which(task="ceval", is_right=True)])
def test_right_ways_of_computing_fail_in_less_than_one_of_1000_runs(pair, questions):
    assert share_that_fails(pair, questions) < 0.001


@pytest.mark.parametrize("questions", [20, 100])
@pytest.mark.parametrize("fault", ["mask sees the next token", "mask hides the token itself"])
def test_wrong_masks_fail_in_more_than_999_of_1000_runs(fault, questions):
    for pair in which(candidate=f"bfloat16: {fault}"):
        assert share_that_fails(pair.values[0], questions) > 0.999


def test_frequencies_that_are_5_percent_off_pass_in_bfloat16_as_the_documentation_says():
    (pair,) = which(candidate="bfloat16: rotary frequencies 5 % off")
    assert share_that_fails(pair.values[0], 100) < 0.001
