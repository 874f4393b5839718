"""Whole runs of the hf engines on an npu, by the stand-in for torch_npu: words in, files out."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

TOLERANCE = 1e-4
BOOLQ = ("sample_BoolQ", "8", "auto")


def _assert_same_answers(ran, reference) -> None:
    assert ran.result["status"] == reference.result["status"] == "complete", ran.said
    assert ran.answers.keys() == reference.answers.keys() != set()
    for name, answer in ran.answers.items():
        expected = reference.answers[name]["choice_logprobs"]
        assert answer["choice_logprobs"] == pytest.approx(expected, abs=TOLERANCE)


def _calls(path: Path) -> dict:
    """Return what the one process that imported torch_npu called how often."""
    (line,) = path.read_text().splitlines()
    return json.loads(line)


@pytest.fixture(scope="module")
def boolq(npu, weights):
    """Return a run of BoolQ on an npu, and what it called."""
    calls = npu.folder / "boolq.jsonl"
    ran = npu.run("hf_fp32", *BOOLQ, weights, "1", STAND_IN_NPU_CALLS=str(calls))
    return ran, _calls(calls)


def test_boolq_gets_the_answers_of_the_cpu(boolq, on_the_cpu):
    ran, called = boolq
    _assert_same_answers(ran, on_the_cpu)
    engine = ran.result["engine"]
    assert (engine["engine"], engine["device"]) == ("hf", "npu")
    assert engine["versions"]["torch_npu"] == "2.13.0"
    assert "device npu:0 Ascend910B4" in engine["notes"]
    assert engine["notes"][0].startswith("shared prefixes on")
    assert engine["memory_limit_bytes"] == 1 << 30
    assert 0 < ran.result["usage"]["peak_memory_bytes"] < 1 << 30
    assert called["set_compile_mode"] == 1
    assert called["manual_seed_all"] >= 1
    assert called["synchronize"] > 0


def test_a_batch_that_does_not_fit_is_asked_in_halves(npu, weights, on_the_cpu):
    # All 24 questions are 2756 tokens, of which a layer makes 1.4 MB at once; no weight has more than 0.4 MB.
    words = ("hf_fp32", "sample_BoolQ", "24", "auto", weights, "1")
    ran = npu.run(*words, STAND_IN_NPU_LARGEST_BLOCK_KB="450")
    _assert_same_answers(ran, on_the_cpu)
    assert ran.result["usage"]["split_batches"] >= 3


def test_pages_give_the_answers_of_the_cpu(npu, weights, on_the_cpu):
    ran = npu.run("hf_paged", *BOOLQ, weights, "1")
    _assert_same_answers(ran, on_the_cpu)
    assert (ran.result["adapter"], ran.result["engine"]["device"]) == ("hf_paged", "npu")


def test_tokens_are_timed_by_events_and_a_batch_beyond_the_memory_is_told(npu, weights):
    calls = npu.folder / "performance.jsonl"
    words = ("performance", "[[32,8]]", "[2,2048]", "auto", weights, "1", "--quick")
    variables = {"STAND_IN_NPU_CALLS": str(calls), "STAND_IN_NPU_MEMORY_MB": "64"}
    ran = npu.run("hf_fp32", *words, **variables)
    assert ran.result["status"] == "complete", ran.said
    assert "NPU out of memory. Tried to allocate" in ran.journal
    fits, does_not = ran.result["summary"]["cases"]
    assert fits["metrics"]["ttft_ms"]["median"] > 0
    assert fits["metrics"]["non_first_token_ms"]["median"] > 0
    assert not any("cannot be right" in reason for reason in fits["reasons"])
    assert does_not["reasons"] == ["warmup trial 0: batch 2048 ran out of memory"]
    peaks = ran.result["engine"]["peaks"]
    assert peaks["flop_per_s"] > 0
    assert max(peak["size_bytes"] for peak in peaks["bandwidth"]) <= 16 << 20  # a quarter of the memory
    called = _calls(calls)
    assert called["Event"] >= 8 * fits["trials"]
    assert called["reset_peak_memory_stats"] > 0


@pytest.mark.long
def test_two_npus_answer_as_one(npu, weights, on_the_cpu):
    ran = npu.run("hf_fp32", *BOOLQ, weights, "2", STAND_IN_NPU_DEVICES="2")
    _assert_same_answers(ran, on_the_cpu)
    ranks = ran.result["engine"]["ranks"]
    assert (ranks["split"], ranks["backend"]) == (2, "hccl")
    assert ranks["devices"] == ["npu:0 Ascend910B4", "npu:1 Ascend910B4"]


@pytest.mark.long
def test_memory_that_runs_out_on_one_of_two_npus_is_out_on_both(npu, weights, on_the_cpu):
    words = ("hf_fp32", "sample_BoolQ", "24", "auto", weights, "2")
    ran = npu.run(*words, STAND_IN_NPU_DEVICES="2", STAND_IN_NPU_LARGEST_BLOCK_KB="600")
    _assert_same_answers(ran, on_the_cpu)
    assert ran.result["usage"]["split_batches"] >= 1


@pytest.mark.long
def test_replicas_on_two_npus_draw_each_its_own(npu, weights):
    words = ("--model", weights, "--input-text", "The sea", "--batch-size", "4", "--do-sample")
    alone, replicas = (
        npu.run("generate", "--engine", "hf", *words, *more, STAND_IN_NPU_DEVICES="2")
        for more in ((), ("--world-size", "2", "--parallel", "dp=2"))
    )
    assert replicas.result["engine"]["ranks"]["devices"] == ["npu:0 Ascend910B4", "npu:1 Ascend910B4"]
    texts, expected = ([one["text"] for one in ran.result["summary"]["texts"]] for ran in (replicas, alone))
    assert len({*texts}) == len({*expected}) == 4


@pytest.mark.long
def test_a_search_ends_where_the_memory_of_the_npu_does(npu, weights):
    words = ("performance_maxbs", "[[32,8]]", "[[1,512]]", "10000", "auto", weights, "1", "--quick")
    ran = npu.run("hf_fp32", *words, STAND_IN_NPU_MEMORY_MB="16")
    (case,) = ran.result["summary"]["cases"]
    assert case["status"] == "MEMORY_LIMITED", ran.said
    assert 130 < case["max_batch"] < 150  # 141 rows take 16.74 of 16.78 MB, and one more 0.11


def test_more_ranks_than_npus_are_refused(npu, weights):
    ran = npu.run("hf_fp32", *BOOLQ, weights, "2")
    assert ran.status == 3
    assert "2 ranks need 2 npu devices, 1 can be used here" in ran.said


def test_bfloat16_is_refused_on_a_chip_that_does_not_compute_it(npu, weights):
    ran = npu.run("hf_bf16", *BOOLQ, weights, "1", "--allow-dtype-cast", STAND_IN_NPU_NAME="Ascend310P3")
    assert ran.status == 3
    assert "Ascend310P3 does not compute bfloat16; use a float16 word" in ran.said


_DRAW = """\
import torch, torch_npu
from engines.hf.model.sampling import Sampler
from modeltest.api import Sampling

def draw(seed):
    choose = Sampler(Sampling(temperature=1.0), seed=seed, device="npu")
    return [choose(torch.zeros(8, 1000, device="npu")).tolist() for _ in range(2)]

first, again, other = draw(1), draw(1), draw(2)
assert first == again != other and first[0] != first[1]
"""


def test_equal_seeds_draw_alike_on_the_device(npu):
    done = subprocess.run(
        [sys.executable, "-c", _DRAW],
        env={**os.environ, **npu.variables},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
