"""Which models let another attention take the place of theirs, read without importing them."""

import json

import pytest

from engines.hf.paged.open_attention import closed_attention
from modeltest.api import ModelInfo, RunSpec

FAMILIES = ("gpt2", "gpt_neox", "gemma", "llama", "qwen2", "internlm2")


def _reason(directory, *, remote=False):
    spec = RunSpec(
        engine="pa_fp16",
        mode="m",
        task="t",
        model="m",
        weights=str(directory),
        trust_remote_code=remote,
    )
    return closed_attention(spec, ModelInfo("m", "m", str(directory), "m", None, None, None, 128, 1, None))


def _checkpoint(directory, **config):
    (directory / "config.json").write_text(json.dumps(config))
    return directory


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_is_open(demo_model, family):
    assert _reason(demo_model(family), remote=family == "internlm2") is None


def test_remote_code_with_an_attention_of_its_own_is_closed(tmp_path):
    _checkpoint(tmp_path, model_type="mine", auto_map={"AutoModelForCausalLM": "modeling_mine.Mine"})
    (tmp_path / "modeling_mine.py").write_text("def forward(q, k, v): return q @ k.T @ v")
    assert _reason(tmp_path, remote=True) == (
        "its code has an attention of its own (modeling_mine.py does not use ALL_ATTENTION_FUNCTIONS)"
    )


@pytest.mark.parametrize("family", ["bloom", "mpt"])
def test_a_family_of_transformers_with_an_attention_of_its_own_is_closed(tmp_path, family):
    pytest.importorskip("transformers")
    assert f"modeling_{family}.py" in _reason(_checkpoint(tmp_path, model_type=family))


def test_layers_without_keys_and_capped_scores_are_closed(tmp_path):
    kinds = ["full_attention", "linear_attention"]
    assert _reason(_checkpoint(tmp_path, layer_types=kinds)) == "it has layers of linear_attention"
    assert "caps the scores" in _reason(_checkpoint(tmp_path, attn_logit_softcapping=50.0))


@pytest.mark.parametrize("text", ["", "[]", '{"model_type": "no_such_family"}'])
def test_what_cannot_be_known_is_left_to_loading(tmp_path, text):
    (tmp_path / "config.json").write_text(text)
    assert _reason(tmp_path) is None
    assert _reason(tmp_path / "absent") is None
