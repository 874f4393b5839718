import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modeltest.api import PREDECESSOR_MODES, Argument, Mode, SpecError
from modeltest.grammar.modes import (
    ENGINE_WORDS,
    all_modes,
    did_you_mean,
    engine_word,
    engines_of,
)

PREDECESSOR_WORDS = [
    *("performance", "performance_maxbs", "performance_single", "precision_single"),
    *("full_BoolQ", "full_CEval", "full_MMLU", "full_CMMLU", "full_GSM8K", "full_TruthfulQA", "full_GPQA"),
    *("full_AIME2024", "full_HumanEval", "full_HumanEval_X", "full_LongBench", "full_LongBench-E"),
    *("full_NeedleBench", "simplified_GSM8K", "simplified_TruthfulQA", "edge_BoolQ", "edge_GSM8K"),
]
SAMPLES = ["sample_BoolQ", "sample_CEval", "sample_GSM8K", "sample_MMLU"]


def test_every_mode_of_the_predecessor_and_the_samples_are_known():
    words = [mode.word for mode in PREDECESSOR_MODES]
    assert sorted(words) == sorted([*PREDECESSOR_WORDS, *SAMPLES])


@pytest.mark.parametrize(
    ("word", "task", "split"),
    [
        ("performance", "performance", ""),
        ("performance_maxbs", "performance_maxbs", ""),
        ("performance_single", "performance_single", ""),
        ("precision_single", "precision_single", ""),
        ("full_HumanEval_X", "humaneval_x", "full"),
        ("full_LongBench-E", "longbench_e", "full"),
        ("full_AIME2024", "aime2024", "full"),
        ("simplified_TruthfulQA", "truthfulqa", "simplified"),
        ("edge_GSM8K", "gsm8k", "edge"),
        ("sample_CEval", "ceval", "sample"),
    ],
)
def test_a_mode_word_names_task_and_split(word, task, split):
    mode = all_modes([])[word]
    assert (mode.task, mode.split) == (task, split)


def test_only_the_few_shot_modes_take_shots():
    with_shots = {mode.word for mode in PREDECESSOR_MODES if Argument.SHOTS in mode.arguments}
    assert with_shots == {"full_CEval", "full_MMLU", "full_CMMLU", "sample_CEval", "sample_MMLU"}


def test_only_the_max_batch_mode_takes_no_batch():
    assert [m.word for m in PREDECESSOR_MODES if Argument.BATCH not in m.arguments] == ["performance_maxbs"]


def test_splits_follow_from_the_word():
    for mode in PREDECESSOR_MODES:
        prefix = mode.word.split("_")[0]
        assert mode.split == (prefix if prefix in {"full", "simplified", "edge", "sample"} else "")


def test_a_plugin_adds_a_word():
    mode = Mode("full_MyBench", "mybench", "full", (Argument.BATCH,))
    assert all_modes([mode])["full_MyBench"] is mode
    assert len(all_modes([mode])) == len(PREDECESSOR_MODES) + 1


def test_a_plugin_takes_over_its_own_word():
    mode = Mode("full_BoolQ", "boolq", "validation", (Argument.BATCH,))
    assert all_modes([mode])["full_BoolQ"].split == "validation"


def test_a_word_claimed_by_two_tasks_is_refused_with_both_names():
    with pytest.raises(SpecError, match=r"'full_BoolQ': boolq and mybench"):
        all_modes([Mode("full_BoolQ", "mybench", "full", (Argument.BATCH,))])


def test_two_plugins_that_claim_one_new_word_are_refused():
    first = Mode("full_X", "one", "full", ())
    second = Mode("full_X", "two", "full", ())
    with pytest.raises(SpecError, match=r"'full_X': one and two"):
        all_modes([first, second])


def test_a_plugin_cannot_change_the_words_after_a_mode():
    with pytest.raises(SpecError, match=r"boolq declares .* shots, batch; .* followed by batch"):
        all_modes([Mode("full_BoolQ", "boolq", "full", (Argument.SHOTS, Argument.BATCH))])


@pytest.mark.parametrize(
    ("word", "dtype", "engines"),
    [
        ("pa_fp16", "float16", ("mindie_pa", "vllm", "hf_paged", "hf")),
        ("pa_bf16", "bfloat16", ("mindie_pa", "vllm", "hf_paged", "hf")),
        ("fa", None, ("mindie_fa", "hf")),
        ("basic", None, ("hf",)),
        ("hf", None, ("hf",)),
        ("hf_fp32", "float32", ("hf",)),
        ("hf_bf16", "bfloat16", ("hf",)),
        ("hf_fp16", "float16", ("hf",)),
        ("vllm_fp32", "float32", ("vllm",)),
        ("vllm_bf16", "bfloat16", ("vllm",)),
        ("vllm_fp16", "float16", ("vllm",)),
        ("fake", None, ("fake",)),
        ("openai", None, ("openai",)),
    ],
)
def test_an_engine_word_names_dtype_and_engines(word, dtype, engines):
    engine = engine_word(word)
    assert (engine.dtype, engine.engines) == (dtype, engines)
    assert engines_of(word) == engines
    assert engine.description


def test_an_engine_of_another_package_comes_behind_the_one_that_the_word_means():
    serving = {"tides": ("pa_fp16", "fa"), "shoals": ("pa_fp16",)}
    assert engines_of("pa_fp16", serving=serving) == (
        "mindie_pa",
        "shoals",
        "tides",
        "vllm",
        "hf_paged",
        "hf",
    )
    assert engines_of("fa", serving=serving) == ("mindie_fa", "tides", "hf")
    assert engines_of("pa_bf16", serving=serving) == ("mindie_pa", "vllm", "hf_paged", "hf")


def test_our_own_engines_serve_the_words_they_are_declared_for_alone():
    assert engines_of("pa_fp16", serving={"fake": ("pa_fp16",)}) == ("mindie_pa", "vllm", "hf_paged", "hf")


def test_engine_words_are_unique():
    assert len({engine.word for engine in ENGINE_WORDS}) == len(ENGINE_WORDS) == 16


def test_an_unknown_engine_lists_what_there_is_and_what_was_meant():
    with pytest.raises(SpecError) as caught:
        engine_word("pb")
    assert str(caught.value) == (
        "unknown engine 'pb'; available: basic, fa, fake, hf, hf_bf16, hf_fp16, hf_fp32, openai, "
        "openai_bf16, openai_fp16, openai_fp32, pa_bf16, pa_fp16, vllm_bf16, vllm_fp16, "
        "vllm_fp32; did you mean pa_bf16?"
    )
    assert caught.value.exit_code == 2


def test_an_incomplete_engine_word_suggests_its_completions():
    # The predecessor took `pa` and went on with an empty dtype.
    with pytest.raises(SpecError, match=r"did you mean pa_bf16 or pa_fp16\?"):
        engine_word("pa")


def test_an_installed_engine_is_an_engine_word():
    engine = engine_word("vllm", installed=("vllm", "hf"))
    assert (engine.dtype, engine.engines) == (None, ("vllm",))
    assert engines_of("vllm") == ("vllm",)


def test_an_installed_engine_does_not_change_the_built_in_words():
    assert engine_word("fa", installed=("fa",)).engines == ("mindie_fa", "hf")


def test_a_word_in_the_wrong_case_is_found():
    assert (
        did_you_mean("FULL_boolq", ("full_BoolQ", "edge_BoolQ", "full_MMLU")) == "; did you mean full_BoolQ?"
    )


def test_nothing_is_suggested_when_nothing_is_close():
    assert did_you_mean("qqq", ("full_BoolQ", "edge_BoolQ")) == ""
    assert did_you_mean("", ("full_BoolQ",)) == ""
    assert did_you_mean("x", ()) == ""


@given(st.text())
def test_no_engine_word_raises_anything_but_a_spec_error(word):
    with contextlib.suppress(SpecError):
        assert engine_word(word).word == word
