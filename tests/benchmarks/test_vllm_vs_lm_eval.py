import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import vllm_vs_lm_eval
from lm_eval_comparison.agreement import Agreement
from vllm_comparison.floor import read_prompts, waves
from vllm_vs_lm_eval import Round, Side, missed_goals

AGREED = Agreement(
    questions=100,
    equal_prompts=100,
    equal_answers=100,
    near_ties=0,
    different=(),
    largest_difference=1e-5,
    distinct_answers=4,
)
FLOOR = {"load_s": 30.0, "floor_s": 10.0, "prompt_tokens": 1000, "cached_tokens": 800, "computed_tokens": 200}
GOOD = Round(
    Side(120.0, load_s=30.0, wall_s=160.0),
    Side(12.0, load_s=30.0, wall_s=45.0),
    FLOOR,
    AGREED,
    doubtful=(),
)


def test_ratios_are_those_of_evaluation_alone() -> None:
    assert (GOOD.speed_up, GOOD.over_floor) == (10.0, 1.2)
    assert missed_goals([GOOD], is_exact=True) == []


def test_each_goal_that_is_missed_is_told() -> None:
    slow = replace(GOOD, modeltest=Side(20.0, load_s=30.0, wall_s=50.0))
    assert missed_goals([slow], is_exact=True) == [
        "6.0 times faster than lm-eval, 10 are wanted",
        "2.00 times what vLLM alone needs, 1.3 are allowed",
    ]


def test_one_slow_round_of_three_is_no_miss() -> None:
    slow = replace(GOOD, modeltest=Side(20.0, load_s=30.0, wall_s=50.0))
    assert missed_goals([GOOD, slow, GOOD], is_exact=True) == []


def test_other_answers_count_where_rounding_cannot_explain_them() -> None:
    wrong = replace(GOOD, doubtful=("law/3",))
    assert missed_goals([wrong], is_exact=True) == ["other answers to law/3"]
    assert missed_goals([wrong], is_exact=False) == []


def test_other_prompts_are_no_comparison_in_any_dtype() -> None:
    other = replace(GOOD, agreement=replace(AGREED, equal_prompts=99))
    assert missed_goals([other], is_exact=False) == ["other prompts"]


def test_the_first_prompt_of_each_subject_goes_ahead_so_that_its_shots_are_cached() -> None:
    law, physics = [1, 2, 3], [4, 5, 6]
    asked = [("law", law), ("law", [1, 2, 9]), ("physics", physics), ("law", [1, 2, 3])]
    assert waves(asked) == [[law, physics], [[1, 2, 9], [1, 2, 3]]]


def test_prompts_are_read_with_their_subjects(tmp_path: Path) -> None:
    file = tmp_path / "samples.jsonl"
    file.write_text(json.dumps({"id": "high_school/history/7", "prompt": "Who?"}) + "\n", encoding="utf-8")
    assert read_prompts(file) == [("high_school/history", "Who?")]


def test_the_floor_works_as_the_run_did() -> None:
    said = {"block_tokens": "16", "step_tokens": "2048", "rows": "32", "compilation": "none"}
    run: dict[str, Any] = {"engine": {"context_tokens": 8192, "implementations": said}}
    assert vllm_vs_lm_eval.floor_settings(run) == {
        "block_tokens": 16,
        "engine_options": {
            "max_num_batched_tokens": 2048,
            "max_num_seqs": 32,
            "max_model_len": 8192,
            "enforce_eager": True,
        },
    }
    with pytest.raises(ValueError, match="the run does not say its 'rows'"):
        vllm_vs_lm_eval.floor_settings(
            {"engine": {"context_tokens": 1, "implementations": {"block_tokens": 16, "step_tokens": 1}}}
        )
