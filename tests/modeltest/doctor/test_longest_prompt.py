from dataclasses import replace

import pytest

from modeltest.api import RunSpec, SpecError, TaskOptions
from modeltest.doctor.prompts import longest_prompt

SPEC = RunSpec(*("pa_fp16", "full_MMLU", "mmlu", "auto", "none"), split="full", options=TaskOptions(shots=0))


@pytest.fixture
def data_dir(made_up_dataset):
    return str(made_up_dataset("mmlu").parent)


def test_it_is_counted_with_the_checkpoints_own_tokenizer(demo_model, data_dir):
    tokenizers = pytest.importorskip("tokenizers")
    folder = demo_model("llama")
    few = longest_prompt(replace(SPEC, weights=str(folder), data_dir=data_dir))
    more = longest_prompt(replace(SPEC, weights=str(folder), data_dir=data_dir, options=TaskOptions(shots=2)))
    assert (few.output_tokens, few.source) == (256, "the longest prompt of full_MMLU")
    assert (more.output_tokens, more.input_tokens > few.input_tokens) == (20, True)
    # The longest subject of the card makes the longest prompt: all questions here are alike.
    tokenizer = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
    assert few.input_tokens < len(tokenizer.encode("q " * 1000).ids)


def test_without_the_dataset_it_is_what_mindie_sets_aside(demo_model, tmp_path):
    need = longest_prompt(replace(SPEC, weights=str(demo_model("llama")), data_dir=str(tmp_path)))
    assert (need.input_tokens, need.output_tokens, need.tokens) == (3072, 512, 3584)
    assert need.source == "what MindIE sets aside (the dataset mmlu is not here)"


@pytest.mark.parametrize("content", [None, "{"])
def test_without_a_tokenizer_it_is_what_mindie_sets_aside(tmp_path, data_dir, content):
    if content:
        (tmp_path / "tokenizer.json").write_text(content)
    need = longest_prompt(replace(SPEC, weights=str(tmp_path), data_dir=data_dir))
    assert need.tokens == 3584
    assert "tokenizer.json" in need.source


def test_a_task_without_questions_has_no_prompts():
    with pytest.raises(SpecError, match="asks no questions: give its shapes with --case"):
        longest_prompt(replace(SPEC, task="performance", mode="performance"))
