"""The main words on a trained model: what a run writes down is what the model says, computed plainly."""

import json
import os
import subprocess
import sys

import pytest

LIMIT = 8


@pytest.fixture(scope="module")
def plain(trained_model):
    """Return a function from token ids to the log-probabilities of the next token: one prompt, no cache."""
    import torch
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(trained_model("float32")).eval()

    def logprobs(token_ids):
        with torch.inference_mode():
            return model(torch.tensor([token_ids])).logits[0, -1].double().log_softmax(-1)

    return logprobs


@pytest.fixture(scope="module")
def run(trained_model, tmp_path_factory):
    """Return a function that runs an engine's word on a few questions and returns their completions."""

    def completions(word, dtype):
        place = tmp_path_factory.mktemp(word)
        words = [word, "sample_BoolQ", "8", "auto", str(trained_model(dtype)), "1", "--limit", str(LIMIT)]
        done = subprocess.run(
            [sys.executable, "-m", "modeltest", *words],
            env={**os.environ, "MODELTEST_OUTPUT_DIR": str(place)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert "verdict: VALID" in done.stdout
        (journal,) = place.glob("*/samples.jsonl")
        lines = map(json.loads, journal.read_text().splitlines())
        return [line["sample"]["completion"] for line in lines if "sample" in line]

    return completions


@pytest.mark.parametrize(
    ("word", "dtype", "tolerance"),
    [
        ("hf_fp32", "float32", 1e-4),
        ("hf_bf16", "bfloat16", 0.25),
        ("pa_bf16", "bfloat16", 0.25),
        ("pa_fp16", "float16", 0.05),
    ],
)
def test_a0_choices_are_those_of_a_plain_forward_pass_in_float32(run, plain, word, dtype, tolerance):
    found = run(word, dtype)
    assert len(found) == LIMIT
    for each in found:
        expected = plain(each["prompt_tokens"])
        ((yes,), (no,)) = each["choice_tokens"]
        assert each["choice_logprobs"] == pytest.approx(
            [float(expected[yes]), float(expected[no])], abs=tolerance
        ), each["request_id"]
