"""Tokenizers with habits, on a model: the answers of the same weights with a plain tokenizer."""

import json
import shutil

import pytest
import torch

from modeltest.api import ModelInfo, Request, RunSpec, TextPrompt
from modeltest.registry import load_engine

CONTEXT = 512


def _answers(weights, requests, *, engine="hf"):
    spec = RunSpec(
        engine="hf_fp32", mode="test", task="test", model="llama", weights=str(weights), dtype="float32"
    )
    info = ModelInfo("llama", "llama", str(weights), "llama", "float32", None, CONTEXT, 128, 1, None)
    loaded = load_engine(engine)
    try:
        notes = loaded.load(spec, info).notes
        done = [one for batch in loaded.complete(requests, batch_size=4) for one in batch]
    finally:
        loaded.close()
    return {one.request_id: one for one in done}, notes


def _with_tokenizer(folder, copy, change):
    """Return a copy of a checkpoint whose tokenizer.json is changed."""
    shutil.copytree(folder, copy)
    path = copy / "tokenizer.json"
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))
    return copy


def _append_eos(content):
    end = {"id": "</s>", "ids": [content["model"]["vocab"]["</s>"]], "tokens": ["</s>"]}
    content["post_processor"]["single"].append({"SpecialToken": {"id": "</s>", "type_id": 0}})
    content["post_processor"]["special_tokens"]["</s>"] = end


@pytest.mark.parametrize("engine", ["hf", "hf_paged"])
def test_a2_a_tokenizer_that_appends_an_end_of_text_gives_the_answers_of_one_that_does_not(
    engine, demo_model, tmp_path
):
    prompt = TextPrompt("", (), "Is the sea salt?\nAnswer:")
    requests = [
        Request("choices", prompt, choices=(" A", " B", " C", " D")),
        Request("text", prompt, max_new_tokens=5),
    ]
    plain, _ = _answers(demo_model("llama"), requests, engine=engine)
    changed = _with_tokenizer(demo_model("llama"), tmp_path / "appends", _append_eos)
    appending, notes = _answers(changed, requests, engine=engine)
    assert appending == plain
    assert len(set(plain["choices"].choice_logprobs)) == 4
    assert "the tokenizer adds </s> behind texts: left out of prompts and choices" in notes


def _merge_colon_and_c(content):
    """Make one token of `:` and ` C`, in the place of one that is reserved."""
    reserved = content["added_tokens"].pop()
    content["model"]["vocab"][":ĠC"] = reserved["id"]
    content["model"]["merges"].append([":", "ĠC"])
    content["pre_tokenizer"]["use_regex"] = False


def _plain_logprob(model, ids, begin):
    """Return the log-probability of `ids[begin:]` behind those before, by one plain forward pass."""
    with torch.inference_mode():
        logprobs = model(torch.tensor([ids])).logits[0].double().log_softmax(-1)
    return sum(float(logprobs[at - 1, ids[at]]) for at in range(begin, len(ids)))


@pytest.mark.parametrize("engine", ["hf", "hf_paged"])
@pytest.mark.parametrize("choices", [(" A", " C", " D"), (" A", " C", " no way"), (" C",)])
def test_b4_a_choice_that_merges_with_the_prompt_is_the_whole_less_the_prompt(
    engine, choices, demo_model, tmp_path
):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder = _with_tokenizer(demo_model("llama"), tmp_path / "merges", _merge_colon_and_c)
    text = "Is the sea salt?\nAnswer:"
    requests = [Request("q", TextPrompt("", (), text), choices=choices)]
    done, _ = _answers(folder, requests, engine=engine)
    assert done["q"].error is None

    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    prompt = tokenizer.encode(text)
    assert tokenizer.encode(text + " C")[:-1] == prompt[:-1]
    expected = [
        _plain_logprob(model, tokenizer.encode(text + choice), len(prompt) - 1)
        - _plain_logprob(model, prompt, len(prompt) - 1)
        for choice in choices
    ]
    assert done["q"].choice_logprobs == pytest.approx(expected, abs=1e-4)
