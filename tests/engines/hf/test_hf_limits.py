"""Models whose numbers depend on the longest row of a pass: what a row says is what it says alone."""

import copy

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig, Phi3Config

from engines.hf.engine import HFEngine
from engines.hf.paged.engine import HFPagedEngine
from modeltest.api import ModelInfo, Request, RunSpec, TokenPrompt

LIMIT = 40
SIZES = {
    "vocab_size": 1537,
    "hidden_size": 48,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "initializer_range": 0.2,
    "bos_token_id": 0,
    "eos_token_id": 1,
    "pad_token_id": 2,
}
LONGROPE = {
    "type": "longrope",
    "short_factor": [1.0] * 6,
    "long_factor": [1.0, 2.0, 4.0, 8.0, 16.0, 32.0],
}
CONFIGS = {
    "a1_longrope": lambda: Phi3Config(
        **SIZES, max_position_embeddings=400, original_max_position_embeddings=LIMIT, rope_scaling=LONGROPE
    ),
    "a1_dynamic_ntk": lambda: LlamaConfig(
        **SIZES, max_position_embeddings=LIMIT, rope_scaling={"rope_type": "dynamic", "factor": 8.0}
    ),
}
LENGTHS = [12, 30, 38, 39, 40, 41, 42, 50, 55, 60, 64, 70, 33, 80, 44, 45]


@pytest.fixture(scope="module", params=CONFIGS)
def checkpoint(request, demo_model, tmp_path_factory):
    directory = tmp_path_factory.mktemp(request.param)
    torch.manual_seed(3)
    AutoModelForCausalLM.from_config(CONFIGS[request.param]()).save_pretrained(directory)
    AutoTokenizer.from_pretrained(demo_model("llama")).save_pretrained(directory)
    return directory


@pytest.fixture(scope="module", params=[HFEngine, HFPagedEngine])
def engine(request, checkpoint):
    engine = request.param()
    spec = RunSpec("hf_fp32", "test", "test", "m", str(checkpoint), dtype="float32")
    engine.load(spec, ModelInfo("m", "m", str(checkpoint), "m", "float32", None, 400, 128, 1, None))
    return engine


@pytest.fixture(scope="module")
def fresh(checkpoint):
    """A model that has seen no row yet: dynamic scaling remembers the longest."""
    model = AutoModelForCausalLM.from_pretrained(checkpoint).eval()
    return lambda: copy.deepcopy(model)


def _prompts(lengths):
    start = tuple(100 + 7 * at % 900 for at in range(30))
    return [TokenPrompt((*start, *(300 + 11 * n * at % 900 for at in range(80)))[:n]) for n in lengths]


def _ask(engine, requests, batch_size):
    return {
        one.request_id: one for batch in engine.complete(requests, batch_size=batch_size) for one in batch
    }


@pytest.mark.parametrize("lengths", [LENGTHS, LENGTHS[:7]], ids=["many beyond the limit", "few"])
@pytest.mark.parametrize("batch_size", [1, 8])
def test_choices_are_those_of_each_prompt_alone(engine, fresh, lengths, batch_size):
    prompts = _prompts(lengths)
    choices = ((5,), (700,), (42,))
    found = _ask(engine, [Request(str(i), p, choices=choices) for i, p in enumerate(prompts)], batch_size)
    for place, prompt in enumerate(prompts):
        with torch.inference_mode():
            logprobs = fresh()(torch.tensor([prompt.ids])).logits[0, -1].log_softmax(-1)
        expected = [float(logprobs[token]) for (token,) in choices]
        assert found[str(place)].choice_logprobs == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("batch_size", [1, 8])
def test_generations_across_the_limit_are_those_of_transformers(engine, fresh, batch_size):
    prompts = _prompts(LENGTHS)
    found = _ask(engine, [Request(str(i), p, max_new_tokens=6) for i, p in enumerate(prompts)], batch_size)
    for place, prompt in enumerate(prompts):
        ids = torch.tensor([prompt.ids])
        whole = fresh().generate(
            ids, attention_mask=torch.ones_like(ids), max_new_tokens=6, do_sample=False, pad_token_id=2
        )
        assert found[str(place)].output_tokens == tuple(whole[0, ids.shape[1] :].tolist())


def test_rows_that_no_fast_way_serves_are_counted(engine):
    before = engine.usage().alone_rows
    _ask(engine, [Request("a", _prompts([60])[0], choices=((5,), (6,)))], 1)
    assert engine.usage().alone_rows == before + 1
