"""Which tokens end an answer: those of the checkpoint, and in conversations those of the model's profile."""

from dataclasses import replace

import pytest

from engines.hf.model.checkpoint_loading import load_checkpoint
from modeltest.api import RunSpec
from modeltest.models.checkpoint import inspect_checkpoint


@pytest.mark.parametrize("family", ["internlm2", "gpt2"])
def test_the_end_of_a_turn_counts_in_conversations_alone(demo_model, family):
    spec = RunSpec(
        *("hf_fp32", "test", "test", "auto", str(demo_model(family))), dtype="float32", trust_remote_code=True
    )
    info = inspect_checkpoint(spec)
    assert info.end_of_turn == (("<|im_end|>",) if family == "internlm2" else ())
    plain = load_checkpoint(spec, info, "cpu")
    conversing = load_checkpoint(replace(spec, chat=True), info, "cpu")
    turn_end = plain.tokenizer.convert_tokens_to_ids("<|im_end|>")
    assert turn_end not in plain.eos_token_ids
    added = {turn_end} if family == "internlm2" else set()
    assert conversing.eos_token_ids == plain.eos_token_ids | added


def test_a_token_the_tokenizer_does_not_know_is_passed_over(demo_model):
    spec = RunSpec(*("hf_fp32", "test", "test", "auto", str(demo_model("gpt2"))), dtype="float32", chat=True)
    info = replace(inspect_checkpoint(spec), end_of_turn=("<|nobody_knows|>",))
    loaded = load_checkpoint(spec, info, "cpu")
    assert loaded.eos_token_ids == load_checkpoint(replace(spec, chat=False), info, "cpu").eos_token_ids
