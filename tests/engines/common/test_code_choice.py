"""By what code a model is computed is the engine's to decide, whatever its config.json says."""

import json
import shutil
from pathlib import Path

import pytest
import transformers

from engines.common.code_choice import decide
from engines.hf.engine import HFEngine
from engines.hf.model.checkpoint_loading import load_checkpoint
from modeltest.api import ModelInfo, RunSpec

IS_OLD = transformers.__version__.startswith("4.")


def _spec(weights: Path) -> RunSpec:
    return RunSpec(
        engine="hf_fp32", mode="test", task="test", model="m", weights=str(weights), dtype="float32"
    )


def _info(weights: Path) -> ModelInfo:
    return ModelInfo("m", "m", str(weights), "m", "float32", None, 8192, 128, 1, None)


@pytest.fixture
def checkpoint(demo_model, tmp_path):
    def build(**said: object) -> Path:
        folder = tmp_path / "model"
        shutil.copytree(demo_model("llama"), folder)
        file = folder / "config.json"
        file.write_text(json.dumps({**json.loads(file.read_text()), **said}))
        return folder

    return build


@pytest.mark.parametrize(
    "said",
    [
        {"_attn_implementation": "eager"},
        {"attn_implementation": "eager"},
        {"_attn_implementation": {"": "eager"}},
        {"_attn_implementation": "somebody/kernel"},
        {"_attn_implementation": 5},
        {"_experts_implementation": "batched_mm"},
        {"use_flash_attn": True},
        {"output_attentions": True},
        {"return_dict": False},
        {"transformers_weights": "other.safetensors"},
    ],
    ids=str,
)
def test_c7_config_json_does_not_choose_the_code_that_runs(checkpoint, said):
    folder = checkpoint(**said)
    loaded = load_checkpoint(_spec(folder), _info(folder), "cpu")
    assert loaded.implementations == {"attention": "sdpa"}
    assert loaded.model.config._attn_implementation == "sdpa"
    assert not loaded.model.config.output_attentions
    if "attn_implementation" in said and IS_OLD:
        return  # it never read this one
    (told, *_) = loaded.overruled
    assert told.split()[0].lstrip("_") == next(iter(said)).lstrip("_")


def test_c7_what_ran_is_recorded_and_what_was_asked_is_told(checkpoint):
    folder = checkpoint(_attn_implementation="eager")
    info = HFEngine().load(_spec(folder), _info(folder))
    assert info.implementations == {"attention": "sdpa"}
    assert (
        "config.json says how to run the model (_attn_implementation 'eager'), which is not followed: "
        "attention sdpa"
    ) in info.notes


def test_a_config_that_says_nothing_of_it_is_left_as_it_is(checkpoint):
    folder = checkpoint()
    assert load_checkpoint(_spec(folder), _info(folder), "cpu").overruled == ()


def test_c7_a_nested_config_does_not_choose_either():
    if IS_OLD:
        pytest.skip("this version of transformers knows no Gemma 3")
    config = transformers.Gemma3Config(
        text_config={"return_dict": False}, _attn_implementation={"text_config": "eager"}
    )
    assert config.text_config._attn_implementation == "eager"
    assert decide(config) == (
        "text_config._attn_implementation 'eager'",
        "text_config.return_dict False",
    )
    assert config.text_config._attn_implementation is None
    assert config.text_config.return_dict is True
