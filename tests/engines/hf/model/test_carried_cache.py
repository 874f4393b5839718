"""What models carry from token to token, under whatever name: generation equals transformers' own."""

import pytest
from families import FAMILY_BY_FAMILY_NAME, build
from family_sweep import CHOICES, NEW_TOKENS, Plain, prompts, spec_of

from engines.hf.engine import HFEngine
from engines.hf.model.carried_cache import CACHE_NAMES, carrying_of
from engines.hf.model.forward import Forward
from modeltest.api import EngineError, Request, TokenPrompt
from modeltest.models.checkpoint import inspect_checkpoint

KEPT = {
    "llama": "past_key_values",
    "mamba": "cache_params",
    "rwkv": "state",
    "bamba": "past_key_values",
    "minimax": "past_key_values",
    "recurrent_gemma": "handed",  # it fills the cache it is handed, and returns none
    "openai-gpt": "nothing",  # every token is computed again with each new one
}


@pytest.fixture(scope="module", params=KEPT)
def loaded(request, tmp_path_factory):
    directory = tmp_path_factory.mktemp("carried") / request.param
    return request.param, Plain.load(build(FAMILY_BY_FAMILY_NAME[request.param], directory))


def test_it_is_found_out_what_a_model_carries(loaded):
    name, plain = loaded
    forward = Forward(plain.model, "cpu", 2)
    carrying = carrying_of(plain.model, forward._parameters, "cpu")
    found = "handed" if carrying.is_handed else carrying.name or "nothing"
    assert found == KEPT[name]
    assert found in {*CACHE_NAMES, "handed", "nothing"}


def test_b3_recurrent_models_generate_what_transformers_does(loaded):
    name, plain = loaded
    forward = Forward(plain.model, "cpu", 2)
    for prompt in prompts(32)[:3]:
        generation = forward.generate(
            [prompt], max_new_tokens=NEW_TOKENS, ends=lambda row, token, tokens: token == 1
        )
        assert generation.tokens[0] == plain.generated(prompt), name


def test_b3_recurrent_models_are_timed_in_batches(loaded):
    name, plain = loaded
    forward = Forward(plain.model, "cpu", 2)
    rows = [prompt[:20] for prompt in prompts(32)[:1] + prompts(32)[4:5] + prompts(32)[8:]]
    if name == "rwkv":  # a fault of transformers: only one row can go on
        with pytest.raises(EngineError, match="give batch size 1"):
            forward.generate(rows, max_new_tokens=NEW_TOKENS)
        rows = rows[:1]
    generation = forward.generate(rows, max_new_tokens=NEW_TOKENS)
    assert [*generation.tokens] == [plain.generated(row, ignore_eos=True) for row in rows], name
    assert len(generation.times_ns) == NEW_TOKENS


@pytest.mark.parametrize("name", ["deepseek_v2", "deepseek_v3"])
def test_b1_a_cache_of_compressed_keys_and_values_answers_as_transformers_does(name, tmp_path):
    directory = build(FAMILY_BY_FAMILY_NAME[name], tmp_path / name)
    spec, plain, rows = spec_of("hf_fp32", directory), Plain.load(directory), prompts(32)[:4]
    engine = HFEngine()
    engine.load(spec, inspect_checkpoint(spec))

    def answers(**wanted):
        asked = [Request(str(at), TokenPrompt(ids), **wanted) for at, ids in enumerate(rows)]
        found = {each.request_id: each for batch in engine.complete(asked, batch_size=4) for each in batch}
        return [found[request.id] for request in asked]

    assert [answer.output_tokens for answer in answers(max_new_tokens=NEW_TOKENS)] == [
        plain.generated(ids) for ids in rows
    ]
    for answer, ids in zip(answers(choices=CHOICES), rows, strict=True):
        assert answer.choice_logprobs == pytest.approx(plain.choices(ids, CHOICES), abs=1e-4)
