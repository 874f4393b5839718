"""A port that is right passes, and ports that are broken as ports break are caught, by answers alone.

The model has random weights: its accuracy is that of chance with any port, so that accuracy shows nothing.
"""

import json
import subprocess
import sys
from collections import Counter
from dataclasses import replace

import pytest
from made_runs import ENGINE, accuracy_result

pytest.importorskip("transformers")

from broken_ports import (
    PlainEngine,
    float16_norms,
    float16_residual,
    slightly_rounded,
    wrong_rotary_base,
)

from modeltest.api import Decision, GateOutcome, RunSpec, Verdict
from modeltest.compare.runs import compare_runs
from modeltest.compare.sessions import RunToCompare
from modeltest.compare.tolerances import Tolerances
from modeltest.data.load import load_dataset
from modeltest.run.worker.accuracy import run_accuracy
from modeltest.tasks.boolq import BoolQ

SPEC = RunSpec("hf_fp32", "full_BoolQ", "boolq", "llama", "/w", batch_sizes=((8,),))

BROKEN = {
    "mask_sees_the_next_token": {"lookahead": 1},
    "mask_hides_the_token_itself": {"lookahead": -1},
    "wrong_rotary_base": {"fault": wrong_rotary_base},
    "norms_overflow_float16": {"fault": float16_norms},
    "residual_overflows_float16": {"fault": float16_residual},
}


HALF_PRECISION = ("bfloat16", "float16")
WRONG_MASKS = ("mask_sees_the_next_token", "mask_hides_the_token_itself")


def run_of(weights, data, *, dtype="float32", **how):
    samples = [
        sample
        for batch in run_accuracy(BoolQ(), PlainEngine(weights, dtype=dtype, **how), data, SPEC)
        for sample in batch
    ]
    failed = sum(sample.score.correct is None for sample in samples)
    return accuracy_result(
        samples,
        engine=replace(ENGINE, dtype=dtype),
        verdict=Verdict.INVALID if failed else Verdict.VALID,
        reasons=(f"{failed} of {len(samples)} questions failed",) if failed else (),
    )


def compare(reference, candidate):
    return compare_runs(
        [RunToCompare("A", reference)], [RunToCompare("B", candidate)], tolerances=Tolerances()
    )


@pytest.fixture(scope="module")
def sample_data():
    return load_dataset("boolq", "sample", data_dir=None, limit=None, shots_needed=False).data


@pytest.fixture(scope="module")
def reference(demo_model, sample_data):
    return run_of(demo_model("llama"), sample_data)


@pytest.mark.parametrize("how", BROKEN.values(), ids=BROKEN)
def test_a_broken_port_is_caught_on_the_bundled_sample(demo_model, sample_data, reference, how):
    found = compare(reference, run_of(demo_model("llama"), sample_data, **how))
    assert found.outcome is Decision.REJECT
    failed = {gate.name for gate in found.gates if gate.outcome is GateOutcome.FAIL}
    assert failed & {"divergence", "failures"}


def test_a_port_that_only_rounds_is_not_caught(demo_model, sample_data, reference):
    found = compare(reference, run_of(demo_model("llama"), sample_data, fault=slightly_rounded))
    assert found.accuracy.divergence.mean_kl > 0
    assert found.outcome is not Decision.REJECT


@pytest.mark.parametrize("dtype", HALF_PRECISION)
@pytest.mark.parametrize("how", WRONG_MASKS)
def test_a_wrong_mask_is_caught_in_half_precision_too(demo_model, sample_data, reference, how, dtype):
    weights = demo_model("llama")
    broken = run_of(weights, sample_data, dtype=dtype, **BROKEN[how])
    for right in (reference, run_of(weights, sample_data, dtype=dtype)):
        (gate,) = (each for each in compare(right, broken).gates if each.name == "divergence")
        assert gate.outcome is GateOutcome.FAIL


@pytest.mark.parametrize("dtype", HALF_PRECISION)
def test_half_precision_without_a_fault_is_not_caught(demo_model, sample_data, reference, dtype):
    found = compare(reference, run_of(demo_model("llama"), sample_data, dtype=dtype))
    assert found.accuracy.divergence.mean_kl > 0
    assert found.outcome is not Decision.REJECT


@pytest.fixture(scope="module")
def real_data(shared_data):
    return load_dataset("boolq", "full", data_dir=str(shared_data), limit=500, shots_needed=False).data


@pytest.fixture(scope="module")
def real_reference(demo_model, real_data):
    return run_of(demo_model("llama"), real_data)


@pytest.mark.long
@pytest.mark.parametrize("how", BROKEN.values(), ids=BROKEN)
def test_a_broken_port_is_caught_on_500_real_questions(demo_model, real_data, real_reference, how):
    assert real_reference.summary.micro.total == 500
    found = compare(real_reference, run_of(demo_model("llama"), real_data, **how))
    assert found.outcome is Decision.REJECT


@pytest.mark.long
def test_a_port_that_only_rounds_is_not_caught_on_500_real_questions(demo_model, real_data, real_reference):
    found = compare(real_reference, run_of(demo_model("llama"), real_data, fault=slightly_rounded))
    outcomes = {gate.name: gate.outcome for gate in found.gates}
    assert outcomes["answers"] is GateOutcome.PASS
    assert GateOutcome.FAIL not in outcomes.values()


@pytest.mark.long
def test_two_dtypes_of_one_checkpoint_compare_with_a_correct_paired_table(demo_model, tmp_path):
    weights = demo_model("gemma")
    for word in ("hf_fp32", "hf_bf16"):
        command = [
            *(sys.executable, "-m", "modeltest", word, "sample_BoolQ", "8", "gemma", str(weights), "1"),
            *("--output", str(tmp_path / word), "--allow-dtype-cast"),
        ]
        subprocess.run(command, check=True, capture_output=True)
    (one,), (other,) = ((tmp_path / word).iterdir() for word in ("hf_fp32", "hf_bf16"))
    done = subprocess.run(
        [sys.executable, "-m", "modeltest", "compare", str(one), str(other), "--format", "json"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode in (0, 1), done.stderr
    found = json.loads(done.stdout)
    rights = [_rights(directory) for directory in (one, other)]
    counts = Counter((rights[0][name], rights[1][name]) for name in rights[0])
    assert found["accuracy"]["overall"]["table"] == {
        "both_right": counts[True, True],
        "reference_only": counts[True, False],
        "candidate_only": counts[False, True],
        "both_wrong": counts[False, False],
    }
    assert [found[side][0]["dtype"] for side in ("reference", "candidate")] == ["float32", "bfloat16"]


def _rights(directory):
    lines = (directory / "samples.jsonl").read_text(encoding="utf-8").splitlines()
    scores = [json.loads(line)["sample"]["score"] for line in lines]
    return {score["request_id"]: score["correct"] for score in scores}
