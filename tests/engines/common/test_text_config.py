"""Models that nest their text config, such as those that also see."""

from types import SimpleNamespace

import pytest
from families import FAMILY_BY_FAMILY_NAME, build
from family_sweep import CHOICES, Plain, prompts, spec_of

from engines.common.text_config import layer_count, text_config, vocabulary_size
from engines.hf.engine import HFEngine
from modeltest.api import Request, TokenPrompt
from modeltest.models.checkpoint import inspect_checkpoint


def test_a_config_without_parts_is_its_own_text_config():
    config = SimpleNamespace(num_hidden_layers=3)
    assert text_config(config) is config
    assert layer_count(config) == 3
    assert layer_count(SimpleNamespace()) is None


@pytest.mark.parametrize("name", ["gemma3", "llama4", "qwen3_5"])
def test_b2_a_nested_text_config_is_read(name, tmp_path):
    directory = build(FAMILY_BY_FAMILY_NAME[name], tmp_path / name)
    spec = spec_of("hf_fp32", directory)
    info = inspect_checkpoint(spec)
    assert info.max_position_embeddings == 512
    assert info.dtype == "float32"
    engine = HFEngine()
    engine.check(spec, info)
    assert engine.load(spec, info).vocabulary_size == 1536
    plain = Plain.load(directory)
    assert vocabulary_size(plain.model) == 1536
    assert layer_count(plain.model.config) == len(plain.model.config.get_text_config().layer_types)
    (completion,) = next(
        engine.complete([Request("r", TokenPrompt(prompts(32)[0]), choices=CHOICES)], batch_size=1)
    )
    assert completion.choice_logprobs == pytest.approx(plain.choices(prompts(32)[0], CHOICES), abs=1e-4)
