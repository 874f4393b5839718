"""What loading makes of a checkpoint's config."""

from dataclasses import replace

import pytest
from families import FAMILY_BY_FAMILY_NAME, build
from family_sweep import Plain, prompts, spec_of

from engines.hf.engine import HFEngine
from engines.hf.model import checkpoint_loading
from modeltest.api import Request, SpecError, TokenPrompt
from modeltest.models.checkpoint import inspect_checkpoint


@pytest.mark.parametrize("name", ["llama_dynamic", "phi3_longrope"])
def test_a5_a_stretched_context_keeps_the_length_that_scaling_is_computed_from(name, tmp_path):
    directory = build(FAMILY_BY_FAMILY_NAME[name], tmp_path / name)
    spec = replace(spec_of("hf_fp32", directory), max_position_embeddings=2048)
    engine = HFEngine()
    info = engine.load(spec, inspect_checkpoint(spec))
    assert info.context_tokens == 2048
    prompt = prompts(32)[8]  # 73 tokens: scaling begins at 33
    (completion,) = next(engine.complete([Request("r", TokenPrompt(prompt), max_new_tokens=6)], batch_size=1))
    assert completion.output_tokens == Plain.load(directory).generated(prompt)[:6]


@pytest.mark.parametrize(("name", "field"), [("gptj", "max_position_embeddings"), ("mpt", "max_seq_len")])
def test_tables_of_computed_positions_grow_with_a_stretched_context(name, field, tmp_path):
    family = FAMILY_BY_FAMILY_NAME[name]
    directory = build(replace(family, changes={**family.changes, field: 32}), tmp_path / name)
    whole = build(family, tmp_path / "whole")
    spec = replace(spec_of("hf_fp32", directory), max_position_embeddings=512)
    info = inspect_checkpoint(spec)
    assert inspect_checkpoint(spec_of("hf_fp32", directory)).max_position_embeddings == 32
    engine = HFEngine()
    engine.load(spec, info)
    prompt = prompts(32)[8]
    (completion,) = next(engine.complete([Request("r", TokenPrompt(prompt), max_new_tokens=6)], batch_size=1))
    assert completion.output_tokens == Plain.load(whole).generated(prompt)[:6]


def test_learned_positions_are_not_stretched(tmp_path):
    directory = build(FAMILY_BY_FAMILY_NAME["gpt2"], tmp_path / "gpt2")
    spec = replace(spec_of("hf_fp32", directory), max_position_embeddings=1024)
    with pytest.raises(SpecError, match="512 positions this model has learned"):
        checkpoint_loading.load_checkpoint(spec, inspect_checkpoint(spec), "cpu")
