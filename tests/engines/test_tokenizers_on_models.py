"""Tokenizers with habits, on a model: the answers of the same weights with a plain tokenizer."""

import json
import shutil

import pytest

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
