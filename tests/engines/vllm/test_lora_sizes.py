"""How much room vLLM is told to make for LoRA adapters, read from their settings."""

import json

import pytest

from engines.vllm.lora import Adapters, adapters_of
from modeltest.api import ModelInfo, RunSpec, SpecError


@pytest.fixture
def of(tmp_path):
    """Return what writes adapters with the settings it is given, and returns what is found of those named."""

    def found(named, **settings):
        for name, written in settings.items():
            (tmp_path / name).mkdir()
            (tmp_path / name / "adapter_config.json").write_text(json.dumps(written))
        (tmp_path / "lora_adapter.json").write_text(json.dumps({name: name for name in settings}))
        words = tmp_path / "lora.jsonl"
        words.write_text("".join(json.dumps({str(i): name}) + "\n" for i, name in enumerate(named)))
        spec = RunSpec("vllm_fp32", "m", "t", "llama", str(tmp_path), lora=str(words))
        model = ModelInfo("m", "m", str(tmp_path), "llama", None, None, 512, 128, 1, None)
        return adapters_of(spec, model)

    return found


def test_without_the_word_there_is_no_room_for_adapters():
    spec = RunSpec("vllm_fp32", "m", "t", "llama", "w")
    assert adapters_of(spec, ModelInfo("m", "m", "w", "llama", None, None, 512, 128, 1, None)) == Adapters()
    assert Adapters().arguments() == {}


def test_room_is_for_the_adapters_that_are_named_one_more_and_the_largest_rank_of_them(of):
    found = of(["law", "sea", "law", "base"], law={"r": 3}, sea={"r": 9}, unused={"r": 400})
    assert list(found.folders) == ["law", "sea"]
    assert found.arguments() == {
        "enable_lora": True,
        "max_lora_rank": 16,
        "max_loras": 3,
        "max_cpu_loras": 3,
    }


def test_modules_of_another_rank_count_and_are_told(of):
    found = of(["law"], law={"r": 4, "rank_pattern": {"q_proj": 40}, "alpha_pattern": {}})
    assert (found.rank, found.patterns) == (64, ("rank_pattern",))


@pytest.mark.parametrize("settings", [{}, {"r": 0}, {"r": "8"}, {"r": 8, "rank_pattern": {"q": True}}])
def test_settings_without_a_rank_are_refused(of, settings):
    with pytest.raises(SpecError, match="gives no rank"):
        of(["law"], law=settings)


def test_a_rank_beyond_all_is_refused(of):
    with pytest.raises(SpecError, match="rank 513; vLLM takes 512 at most"):
        of(["law"], law={"r": 513})


def test_an_adapter_that_is_not_there_is_refused_with_those_that_are(of):
    with pytest.raises(SpecError, match=r"request 0 the adapter 'lore'.*has: law"):
        of(["lore"], law={"r": 8})
