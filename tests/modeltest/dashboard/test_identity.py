from dataclasses import replace

import pytest

from modeltest.api import (
    EngineInfo,
    GenerationOptions,
    LmEvalOptions,
    ModelInfo,
    Parallel,
    PromptSource,
    RankUse,
    RunResult,
    RunSpec,
    TaskOptions,
)
from modeltest.dashboard.identity import device_of, engine_of, history_key, model_of, task_of

SPEC = RunSpec("pa_fp16", "full_MMLU", "mmlu", "auto", "w", options=TaskOptions(shots=5))
MODEL = ModelInfo("auto", "gemma-7b", "w", "gemma", "float16", None, None, 128, 1, None)
ENGINE = EngineInfo("mindie_pa", "npu:3", "float16", 10, (), None, {})
RESULT = RunResult(SPEC, "2026-01-01T00:00:00+00:00", "complete", MODEL, "mindie_pa", ENGINE, None, {})


def test_a_run_by_its_names():
    assert model_of(RESULT) == "gemma-7b"
    assert task_of(SPEC) == "full_MMLU 5-shot"
    assert engine_of(RESULT) == "pa_fp16 (mindie_pa)"
    assert device_of(RESULT) == "npu"


def test_an_engine_with_a_fault_put_into_it_has_a_history_of_its_own():
    faulty = replace(ENGINE, engine="faulty", implementations={"fault": "rope_base 0.1"})
    result = replace(RESULT, spec=replace(SPEC, engine="faulty"), adapter="faulty", engine=faulty)
    assert engine_of(result) == "faulty rope_base 0.1"


def test_quantised_weights_are_another_model():
    assert model_of(replace(RESULT, model=replace(MODEL, quantize="w8a8"))) == "gemma-7b w8a8"


@pytest.mark.parametrize(
    ("changes", "task"),
    [
        ({"protocol": "lm-eval"}, "full_MMLU 5-shot, lm-eval"),
        ({"chat": True, "limit": 3}, "full_MMLU 5-shot, chat, limit 3"),
        ({"subjects": ("law", "art")}, "full_MMLU 5-shot, law and art"),
        ({"quick": True, "options": TaskOptions()}, "full_MMLU, quick"),
        (
            {"options": TaskOptions(prompt_source=PromptSource("gsm8k", padding=True))},
            "full_MMLU, prompts of gsm8k padded",
        ),
        ({"options": TaskOptions(prefill_batch_size=4)}, "full_MMLU, prefill batch 4"),
        (
            {"mode": "lm_eval", "options": TaskOptions(lm_eval=LmEvalOptions(("arc", "piqa")))},
            "lm_eval arc piqa",
        ),
    ],
)
def test_every_option_that_changes_the_question_makes_another_task(changes, task):
    assert task_of(replace(SPEC, **changes)) == task


def test_prompts_of_ones_own_are_told_apart_but_not_written_out():
    tasks = {
        task_of(replace(SPEC, options=TaskOptions(generation=GenerationOptions(8, input_texts=(text,)))))
        for text in ("a secret", "another", "a secret")
    }
    assert len(tasks) == 2
    assert not any("secret" in task for task in tasks)


def test_many_subjects_are_counted_and_their_order_does_not_matter():
    subjects = ("a", "b", "c")
    one, other = task_of(replace(SPEC, subjects=subjects)), task_of(replace(SPEC, subjects=subjects[::-1]))
    assert one == other
    assert "3 subjects" in one


def test_chips_and_parallel_degrees_make_another_engine():
    spec = replace(SPEC, world_size=4, parallel=Parallel(dp=2, tp=2))
    assert engine_of(replace(RESULT, spec=spec)) == "pa_fp16 (mindie_pa) x4 dp2 tp2"
    ranks = RankUse(8, 8, 1, "hccl", ("npu:0",) * 8)
    assert engine_of(replace(RESULT, engine=replace(ENGINE, ranks=ranks))) == "pa_fp16 (mindie_pa) x8"


def test_a_run_that_never_loaded_has_the_device_asked_for():
    assert device_of(replace(RESULT, engine=None)) == ""
    assert device_of(replace(RESULT, engine=None, spec=replace(SPEC, device="cuda"))) == "cuda"


def test_a_key_is_fit_for_a_file_name_and_unique():
    one, other = history_key("a/b", "../c", "d e"), history_key("a b", "../c", "d/e")
    assert one != other
    assert one.startswith("a-b-c-d-e-")
    assert set(one) <= set("abcdefghijklmnopqrstuvwxyz0123456789-")
    assert len(history_key("x" * 500)) < 100
