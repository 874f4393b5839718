"""Weights that the loaded model did not take, with transformers itself."""

import json
import shutil
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file, save_file

from engines.hf.engine import HFEngine
from modeltest.api import EngineError, RunSpec
from modeltest.models.checkpoint import inspect_checkpoint


@pytest.fixture
def load(demo_model, tmp_path):
    """A function that adds weights to a demo model and returns the notes of the engine that loaded it."""

    def with_weights(family, added, **config):
        folder = tmp_path / family
        shutil.copytree(demo_model(family), folder)
        weights = {**load_file(folder / "model.safetensors"), **added}
        save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
        changed = {**json.loads((folder / "config.json").read_text()), **config}
        (folder / "config.json").write_text(json.dumps(changed))
        spec = RunSpec(engine="hf", mode="t", task="t", model="auto", weights=str(folder), device="cpu")
        spec = replace(spec, dtype="float32", trust_remote_code=True, allow_dtype_cast=True)
        engine = HFEngine()
        try:
            return engine.load(spec, inspect_checkpoint(spec)).notes
        finally:
            engine.close()

    return with_weights


def test_a3_a_bias_that_no_layer_takes_is_refused(load):
    with pytest.raises(EngineError, match=r"has 2 weights that .*layers\.0\.self_attn\.k_proj\.bias, "):
        load("llama", {f"model.layers.0.self_attn.{name}_proj.bias": torch.ones(4) for name in "qk"})


def test_a3_an_unknown_weight_is_refused(load):
    with pytest.raises(EngineError, match=r"has 1 weight that .*: score\.weight"):
        load("qwen2", {"score.weight": torch.ones(2)})


def test_a3_a_head_for_further_tokens_is_told(load):
    notes = load("llama", {"mtp.fc.weight": torch.ones(4), "model.rotary_emb.inv_freq": torch.ones(4)})
    assert "1 weight not used: heads that predict further tokens (MTP) (mtp.fc.weight)" in notes
    assert any("not used: rotary frequencies" in note for note in notes)


def test_a3_what_transformers_leaves_out_silently_is_told(load):
    notes = load("gpt_neox", {"gpt_neox.layers.0.attention.masked_bias": torch.tensor(-1e9)})
    assert [note for note in notes if "not used" in note] == [
        "1 weight not used: causal masks, which are made anew (gpt_neox.layers.0.attention.masked_bias)"
    ]


@pytest.mark.parametrize("family", ["gpt2", "gpt_neox", "gemma", "llama", "qwen2", "internlm2"])
def test_nothing_is_left_over_of_a_checkpoint_of_its_config(load, family):
    assert not [note for note in load(family, {}) if "not used" in note]
