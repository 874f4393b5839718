"""Every demo checkpoint is a real model: it loads, pads, caches and generates as its family does."""

import json
import logging
import random
import shutil

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

from modeltest.demo import FAMILIES, build_demo_model
from modeltest.demo.families import CONTEXT_TOKENS, FAMILY_BY_NAME, VOCABULARY_SIZE

PROMPTS = (
    "The sky is blue.\nQuestion: is the sky blue?\nAnswer:",
    "Water boils at one hundred degrees at sea level, and earlier on a mountain.\nAnswer:",
    "下列说法中正确的是\nA. 一\nB. 二\n答案：",
)

WORDS = ("river", "copper", "seven", "planet", "because", "北京", "old", "music", "never", "law", "3.5")

every_family = pytest.mark.parametrize("family", FAMILIES)


def ids_of(tokenizer, text):
    return torch.tensor([tokenizer(text)["input_ids"]])


def left_padded(tokenizer, prompts):
    """Return ids, mask and positions of a batch whose shorter prompts are padded on the left."""
    rows = [tokenizer(prompt)["input_ids"] for prompt in prompts]
    width = max(map(len, rows))
    ids = torch.tensor([[tokenizer.pad_token_id] * (width - len(row)) + row for row in rows])
    mask = torch.tensor([[0] * (width - len(row)) + [1] * len(row) for row in rows])
    return ids, mask, (mask.cumsum(-1) - 1).clamp(min=0)


@every_family
def test_the_checkpoint_fits_its_architecture_exactly(family, demo_model):
    _, info = AutoModelForCausalLM.from_pretrained(
        demo_model(family), trust_remote_code=family == "internlm2", output_loading_info=True
    )
    problems = {kind: keys for kind, keys in info.items() if keys}
    # A tied head is no weight of its own and so not missing.
    assert not problems


@every_family
def test_loading_says_nothing(family, demo_model, caplog):
    caplog.set_level(logging.WARNING)
    transformers_logger = logging.getLogger("transformers")
    transformers_logger.addHandler(caplog.handler)
    try:
        AutoModelForCausalLM.from_pretrained(demo_model(family), trust_remote_code=family == "internlm2")
        AutoTokenizer.from_pretrained(demo_model(family), trust_remote_code=family == "internlm2")
    finally:
        transformers_logger.removeHandler(caplog.handler)
    assert caplog.messages == []


@every_family
def test_the_model_is_of_the_architecture_its_config_names(family, loaded, demo_model):
    model, _ = loaded(family)
    config = json.loads((demo_model(family) / "config.json").read_text())
    assert config["architectures"] == [type(model).__name__]
    assert model.config.model_type == family


@every_family
def test_the_context_holds_real_prompts(family, loaded):
    model, tokenizer = loaded(family)
    assert model.config.max_position_embeddings == CONTEXT_TOKENS == tokenizer.model_max_length == 8192


@every_family
@torch.no_grad()
def test_the_last_position_of_the_context_can_be_computed(family, loaded):
    model, _ = loaded(family)
    ids = torch.arange(CONTEXT_TOKENS)[None] % VOCABULARY_SIZE
    assert model(ids, logits_to_keep=1).logits.isfinite().all()


@every_family
def test_the_head_has_a_row_for_every_token(family, loaded):
    model, tokenizer = loaded(family)
    assert model.get_output_embeddings().weight.shape[0] == len(tokenizer) == VOCABULARY_SIZE


@every_family
@torch.no_grad()
def test_a_left_padded_batch_gives_what_each_prompt_gives_alone(family, loaded):
    model, tokenizer = loaded(family)
    ids, mask, positions = left_padded(tokenizer, PROMPTS)
    together = model(ids, attention_mask=mask, position_ids=positions).logits[:, -1]
    alone = torch.cat([model(ids_of(tokenizer, prompt)).logits[:, -1] for prompt in PROMPTS])
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=0)


@every_family
@torch.no_grad()
def test_decoding_from_the_cache_equals_the_full_forward(family, loaded):
    model, tokenizer = loaded(family)
    ids, mask, positions = left_padded(tokenizer, PROMPTS)
    full = model(ids, attention_mask=mask, position_ids=positions).logits
    keep = ids.shape[1] - 3
    step = model(
        ids[:, :keep], attention_mask=mask[:, :keep], position_ids=positions[:, :keep], use_cache=True
    )
    for at in range(keep, ids.shape[1]):
        torch.testing.assert_close(step.logits[:, -1], full[:, at - 1], atol=1e-5, rtol=0)
        step = model(
            ids[:, at : at + 1],
            attention_mask=mask[:, : at + 1],
            position_ids=positions[:, at : at + 1],
            past_key_values=step.past_key_values,
            use_cache=True,
        )
    torch.testing.assert_close(step.logits[:, -1], full[:, -1], atol=1e-5, rtol=0)


@every_family
@torch.no_grad()
def test_keeping_one_row_of_logits_gives_the_last_row(family, loaded):
    model, tokenizer = loaded(family)
    ids = ids_of(tokenizer, PROMPTS[0])
    kept = model(ids, logits_to_keep=1).logits
    assert kept.shape == (1, 1, VOCABULARY_SIZE)
    torch.testing.assert_close(kept[:, 0], model(ids).logits[:, -1], atol=1e-5, rtol=0)


@every_family
@torch.no_grad()
def test_written_out_attention_agrees_with_sdpa(family, loaded, demo_model):
    model, tokenizer = loaded(family)
    eager = AutoModelForCausalLM.from_pretrained(
        demo_model(family), trust_remote_code=family == "internlm2", attn_implementation="eager"
    )
    ids, mask, positions = left_padded(tokenizer, PROMPTS)
    inputs = {"attention_mask": mask, "position_ids": positions}
    assert model.config._attn_implementation == "sdpa"
    torch.testing.assert_close(
        eager(ids, **inputs).logits[:, -1], model(ids, **inputs).logits[:, -1], atol=1e-5, rtol=0
    )


@every_family
@torch.no_grad()
def test_a_later_token_changes_no_earlier_logits(family, loaded):
    model, _ = loaded(family)
    one, other = torch.tensor([[11, 12, 13, 14]]), torch.tensor([[11, 12, 13, 99]])
    torch.testing.assert_close(model(one).logits[:, :3], model(other).logits[:, :3], atol=1e-5, rtol=0)


@every_family
@pytest.mark.parametrize("answers", [(" yes", " no"), (" A", " B", " C", " D")])
@torch.no_grad()
def test_answers_depend_on_the_prompt_and_are_no_ties(family, answers, loaded):
    model, tokenizer = loaded(family)
    ids = [tokenizer.convert_tokens_to_ids(answer.replace(" ", "Ġ")) for answer in answers]
    pick = random.Random(0)
    prompts = [" ".join(pick.choices(WORDS, k=12)) + "?\nAnswer:" for _ in range(60)]
    logprobs = torch.stack(
        [model(ids_of(tokenizer, prompt)).logits[0, -1].log_softmax(-1)[ids] for prompt in prompts]
    )
    ranked = logprobs.sort(-1, descending=True).values
    margins = ranked[:, 0] - ranked[:, 1]
    assert margins.median() > 0.1
    assert margins.min() > 1e-4
    most_frequent = logprobs.argmax(-1).bincount(minlength=len(ids)).max()
    assert most_frequent <= 0.9 * len(prompts)


@every_family
@torch.no_grad()
def test_greedy_generation_is_the_same_alone_and_in_a_batch(family, loaded):
    model, tokenizer = loaded(family)
    ids, mask, _ = left_padded(tokenizer, PROMPTS)
    options = {"max_new_tokens": 8, "min_new_tokens": 8, "do_sample": False}
    together = model.generate(ids, attention_mask=mask, **options)[:, ids.shape[1] :]
    for row, prompt in zip(together, PROMPTS, strict=True):
        alone = ids_of(tokenizer, prompt)
        one = model.generate(alone, attention_mask=torch.ones_like(alone), **options)
        assert row.tolist() == one[0, alone.shape[1] :].tolist()


@every_family
def test_generation_knows_where_to_end(family, loaded):
    model, tokenizer = loaded(family)
    ends = model.generation_config.eos_token_id
    ends = ends if isinstance(ends, list) else [ends]
    specials = FAMILY_BY_NAME[family].specials
    expected = [specials.eos, specials.turn_end] if family == "qwen2" else [specials.eos]
    assert tokenizer.convert_ids_to_tokens(ends) == expected
    assert model.generation_config.pad_token_id == tokenizer.pad_token_id


@every_family
@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
@torch.no_grad()
def test_the_dtype_is_in_the_config_under_both_names_and_in_the_weights(family, dtype, tmp_path):
    path = build_demo_model(family, tmp_path / "model", dtype=dtype)
    config = json.loads((path / "config.json").read_text())
    assert config["torch_dtype"] == config["dtype"] == dtype
    model = AutoModelForCausalLM.from_pretrained(path, trust_remote_code=family == "internlm2", dtype="auto")
    kind = getattr(torch, dtype)
    assert {weight.dtype for weight in model.parameters()} == {kind}
    assert model.config.dtype == kind
    assert model(torch.tensor([[5, 6, 7]])).logits.isfinite().all()


def test_a_half_precision_model_is_the_full_one_rounded(loaded, tmp_path):
    path = build_demo_model("llama", tmp_path / "model", dtype="bfloat16")
    half = AutoModelForCausalLM.from_pretrained(path, dtype="auto").state_dict()
    for name, weight in loaded("llama")[0].state_dict().items():
        assert torch.equal(half[name], weight.to(torch.bfloat16)), name


class TestRemoteCode:
    def test_the_model_is_refused_without_trust(self, demo_model):
        with pytest.raises(ValueError, match="trust_remote_code"):
            AutoModelForCausalLM.from_pretrained(demo_model("internlm2"), trust_remote_code=False)

    def test_the_config_is_refused_without_trust(self, demo_model):
        with pytest.raises(ValueError, match="trust_remote_code"):
            AutoConfig.from_pretrained(demo_model("internlm2"), trust_remote_code=False)

    def test_the_code_comes_from_the_checkpoint(self, demo_model, tmp_path):
        path = tmp_path / "own"
        shutil.copytree(demo_model("internlm2"), path)
        code = path / "configuration_internlm2.py"
        code.write_text(code.read_text() + "\nInternLM2Config.origin = 'this copy'\n")
        config = AutoConfig.from_pretrained(path, trust_remote_code=True)
        assert config.origin == "this copy"

    def test_only_internlm2_carries_code(self, demo_model):
        carrying = [family for family in FAMILIES if list(demo_model(family).glob("*.py"))]
        assert carrying == ["internlm2"]

    def test_a_saved_copy_gives_the_same_logits(self, loaded, tmp_path):
        model, _ = loaded("internlm2")
        model.save_pretrained(tmp_path / "copy")
        copy = AutoModelForCausalLM.from_pretrained(tmp_path / "copy", trust_remote_code=True)
        ids = torch.tensor([[5, 6, 7, 8]])
        with torch.no_grad():
            assert torch.equal(copy(ids).logits, model(ids).logits)

    def test_key_value_heads_default_to_the_attention_heads(self, loaded):
        config_class = type(loaded("internlm2")[0].config)
        assert config_class(num_attention_heads=8).num_key_value_heads == 8

    @torch.no_grad()
    def test_embeddings_can_stand_in_for_ids_but_not_join_them(self, loaded):
        model, _ = loaded("internlm2")
        ids = torch.tensor([[5, 6, 7]])
        embedded = model.get_input_embeddings()(ids)
        assert torch.equal(model(inputs_embeds=embedded).logits, model(ids).logits)
        with pytest.raises(ValueError, match="either"):
            model(ids, inputs_embeds=embedded)

    @torch.no_grad()
    def test_logits_can_be_kept_at_chosen_positions(self, loaded):
        model, _ = loaded("internlm2")
        ids = torch.tensor([[5, 6, 7, 8]])
        kept = model(ids, logits_to_keep=torch.tensor([0, 2])).logits
        torch.testing.assert_close(kept, model(ids).logits[:, [0, 2]], atol=1e-5, rtol=0)

    @torch.no_grad()
    def test_fused_projection_holds_query_heads_then_key_then_value_of_each_group(self, loaded):
        model, _ = loaded("internlm2")
        attention = model.model.layers[0].attention
        hidden = torch.eye(64)[None, :1]
        query, key, value = attention._split(attention.wqkv(hidden))
        rows = attention.wqkv.weight[:, 0].view(2, 4, 16)
        assert torch.equal(query[0, :, 0], rows[:, :2].reshape(4, 16))
        assert torch.equal(key[0, :, 0], rows[:, 2])
        assert torch.equal(value[0, :, 0], rows[:, 3])
