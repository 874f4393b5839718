"""A trained model in bfloat16: what its run calls near a tie, and what a comparison makes of it."""

import json
import os
import subprocess
import sys

import pytest

from modeltest.rounding import RESOLUTIONS

LIMIT = "12"


def modeltest(*words, place, status=0):
    done = subprocess.run(
        [sys.executable, "-m", "modeltest", *map(str, words)],
        env={**os.environ, "MODELTEST_OUTPUT_DIR": str(place)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == status, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def runs(trained_model, tmp_path_factory):
    """The directories of a run in float32 and of one in bfloat16."""
    found = {}
    for word, dtype in (("hf_fp32", "float32"), ("hf_bf16", "bfloat16")):
        place = tmp_path_factory.mktemp(word)
        modeltest(
            *(word, "sample_BoolQ", "8", "auto", trained_model(dtype), "1", "--limit", LIMIT), place=place
        )
        (found[dtype],) = (each for each in place.iterdir() if (each / "run.json").exists())
    return found


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_run_lists_the_questions_that_rounding_in_its_dtype_may_decide(runs, dtype):
    summary = json.loads((runs[dtype] / "run.json").read_text())["summary"]
    lines = map(json.loads, (runs[dtype] / "samples.jsonl").read_text().splitlines())
    margins = {
        line["sample"]["score"]["request_id"]: line["sample"]["score"]["margin"]
        for line in lines
        if "sample" in line
    }
    limit = RESOLUTIONS[dtype].near_tie
    assert len(margins) == int(LIMIT)
    assert summary["near_tie_margin"] == limit
    assert summary["near_ties"] == sorted(name for name, margin in margins.items() if margin < limit)


def test_bfloat16_keeps_to_the_limits_of_bfloat16_and_without_a_twin_that_decides_nothing(runs, tmp_path):
    words = ("compare", runs["float32"], runs["bfloat16"], "--format", "json")
    found = json.loads(modeltest(*words, place=tmp_path, status=1))
    gates = {gate["name"]: gate for gate in found["gates"]}
    assert gates["divergence"]["outcome"] == "PASS"
    assert gates["divergence"]["limit"] == RESOLUTIONS["bfloat16"].mean_kl
    assert gates["divergence"]["value"] > 0
    assert found["accuracy"]["divergence"]["near_tie_margin"] == RESOLUTIONS["bfloat16"].near_tie
    assert gates["rounding"]["outcome"] == "INCONCLUSIVE"
    assert found["outcome"] == "UNDECIDED"
    assert json.loads(modeltest(*words, "--undecided", "pass", place=tmp_path))["outcome"] == "UNDECIDED"
