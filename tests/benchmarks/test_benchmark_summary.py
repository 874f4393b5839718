import json
from dataclasses import asdict, replace

import pytest
from lm_eval_comparison.agreement import Agreement
from lm_eval_comparison.floor import forward_gflop
from lm_eval_comparison.markdown import (
    agreement_table,
    document,
    floor_table,
    parts_table,
    shifts_table,
    speed_table,
    texts_table,
)
from lm_eval_comparison.rounds import Measured, Round, Side
from lm_eval_comparison.shifts import ShiftComparison, Shifts
from lm_eval_comparison.summary import summarize, summarize_all
from lm_eval_comparison.texts import TextAgreement
from lm_eval_comparison.works import WORKS, Goal, Job

AGREEMENT = Agreement(
    questions=100,
    equal_prompts=100,
    equal_answers=100,
    near_ties=0,
    different=(),
    largest_difference=3e-6,
    distinct_answers=4,
)
TEXTS = TextAgreement(
    questions=64,
    equal_prompts=64,
    equal_answers=62,
    different={"gsm8k/7": 31, "gsm8k/9": 4},
    mean_characters=180.4,
    distinct_answers=60,
)
SHIFTS = ShiftComparison(
    questions=100,
    modeltest=Shifts(400, 0.02, 0.06, 0.15, 2),
    lm_eval=Shifts(400, 0.02, 0.05, 0.14, 3),
    distance=0.06,
    p_value=0.7,
)
FLOOR = {
    "prompt_tokens": 9000,
    "unique_tokens": 2500,
    "floor_s": 2.0,
    "floor_gflop_per_s": 50.0,
    "square_gflop_per_s": 90.0,
    "layer_gflop_per_s": 80.0,
}
IN_PARTS = {
    "matrices_s": 4.0,
    "attention_s": 2.0,
    "norms_s": 0.5,
    "parts_s": 6.5,
    "plain_s": 9.0,
    "steps": 480,
    "step_cache_tokens": 820,
    "step_s": 0.025,
    "steps_s": 12.0,
    "step_read_s": 0.0101,
    "bytes_per_s": 40e9,
}
JOB = Job(WORKS["mmlu"], "135M", 25, rounds=3, goal=Goal(speed_up=6, memory_share=1 / 3, over_floor=1.25))


def one_round(lm_eval_s: float, modeltest_s: float, **changes: object) -> Round:
    return Round(
        lm_eval=Side(lm_eval_s + 5, lm_eval_s, 4_000_000_000),
        modeltest=Side(modeltest_s + 4, modeltest_s, 1_000_000_000, forward_s=modeltest_s * 0.95),
        floor=FLOOR,
        agreement=replace(AGREEMENT, **changes),
    )


def measured(*rounds: Round) -> Measured:
    return Measured(JOB, rounds)


THREE = measured(one_round(20, 2.4), one_round(22, 2.0), one_round(90, 2.5))


def test_times_are_medians_and_ratios_are_made_within_a_round() -> None:
    found = summarize(THREE)
    assert (found.lm_eval.evaluate_s, found.lm_eval.wall_s) == (22, 27)
    assert found.modeltest.evaluate_s == 2.4
    assert found.speed_up == 11  # of 8.3, 11 and 36
    assert found.lowest_speed_up == pytest.approx(20 / 2.4)
    assert found.modeltest.questions_per_s == pytest.approx(100 / 2.4)
    assert found.modeltest.forward_share == pytest.approx(0.95)
    assert found.memory_share == 0.25
    assert found.over_floor == pytest.approx(1.2)
    assert found.modeltest_gflop_per_s == pytest.approx(50 * 2 / 2.4)
    assert found.missed == ()


def test_every_missed_goal_is_named() -> None:
    slow = measured(one_round(10, 4, equal_answers=99, different=("law/0",)))
    assert summarize(slow).missed == ("answers 99 of 100", "time 2.5x < 6x", "floor 2.00x > 1.25x")


def test_without_a_goal_only_answers_can_be_missed() -> None:
    slow = replace(measured(one_round(10, 40)), job=replace(JOB, goal=None))
    assert summarize(slow).missed == ()


def test_the_round_that_agreed_least_is_reported() -> None:
    rounds = (one_round(20, 2), one_round(20, 2, equal_answers=98), one_round(20, 2, largest_difference=1.0))
    assert summarize(measured(*rounds)).agreement.equal_answers == 98
    assert summarize(measured(rounds[0], rounds[2])).agreement.largest_difference == 1.0


def test_an_engine_that_counts_no_forward_time_has_no_share() -> None:
    silent = replace(one_round(20, 2), modeltest=Side(6, 2, 1))
    found = summarize(measured(silent))
    assert found.modeltest.forward_share is None
    assert "| - |" in floor_table([(JOB, found)])


def test_in_16_bits_answers_may_differ_but_shifts_may_not_be_larger() -> None:
    job = replace(JOB, dtype="bf16", goal=None)
    found = Measured(job, (one_round(20, 2, equal_answers=97),), SHIFTS)
    assert summarize(found).missed == ()
    larger = replace(found, shifts=replace(SHIFTS, distance=0.3, p_value=0.0001))
    assert summarize(larger).missed == ("shifts larger than lm-eval's, p = 0.0001",)


def test_other_prompts_are_a_missed_goal() -> None:
    assert summarize(measured(one_round(20, 2, equal_prompts=99))).missed == ("prompts 99 of 100",)


def test_a_job_in_16_bits_stands_beside_the_same_one_in_float32() -> None:
    halved = replace(JOB, dtype="bf16", goal=Goal(speed_up=5, memory_share=1, dtype_gain=2.5))
    rounds = (one_round(20, 1),)
    other_work = Measured(replace(JOB, work=WORKS["boolq"]), rounds)
    fewer = Measured(replace(JOB, questions=5), rounds)
    in_fp32, *_, alone = summarize_all([THREE, other_work, fewer, Measured(halved, rounds)])
    assert in_fp32.dtype_gain is None
    assert (alone.dtype_gain, alone.missed) == (2.4, ("over fp32 2.4x < 2.5x",))
    (alone,) = summarize_all([Measured(halved, rounds)])
    assert (alone.dtype_gain, alone.missed) == (None, ())


def texts_job(dtype: str) -> Measured:
    job = Job(WORKS["gsm8k"], "smollm2", 64, rounds=1, goal=None, dtype=dtype)
    return Measured(job, (replace(one_round(90, 37), agreement=TEXTS, floor={**FLOOR, **IN_PARTS}),))


def test_texts_must_be_equal_in_float32_and_their_share_is_told_in_16_bits() -> None:
    assert summarize(texts_job("fp32")).missed == ("answers 62 of 64",)
    assert summarize(texts_job("bf16")).missed == ()
    (row,) = texts_table([(texts_job("bf16").job, summarize(texts_job("bf16")))]).splitlines()[2:]
    assert row.endswith("| smollm2 | bf16 | 100% | 62 of 64 | 180 | 60 | 4, 31 |")


def test_of_texts_no_rate_is_told_but_the_parts_of_the_floor() -> None:
    found = summarize(texts_job("bf16"))
    assert found.modeltest_gflop_per_s is None
    (row,) = parts_table([(texts_job("bf16").job, found)]).splitlines()[2:]
    assert row.endswith("| 4.00 | 2.00 | 0.50 | 6.50 | 9.00 | 480 | 820 | 25.0 | 12.0 | 10.1 (40.0 GB/s) |")


def test_shifts_of_both_sides_stand_beside_each_other() -> None:
    job = replace(JOB, dtype="bf16")
    found = summarize(Measured(job, (one_round(20, 2),), SHIFTS))
    (row,) = shifts_table([(job, found)]).splitlines()[2:]
    assert row.endswith(
        "| 100 | 0.0200 / 0.0500 / 0.1400 | 0.0200 / 0.0600 / 0.1500 | 3 | 2 | 0.060 | 0.7 | no |"
    )


def test_a_document_of_all_kinds_of_work_has_all_tables_and_goes_into_json() -> None:
    halved = Measured(replace(JOB, dtype="bf16"), (one_round(20, 2),), SHIFTS)
    measurements = [THREE, halved, texts_job("bf16")]
    results = list(zip([each.job for each in measurements], summarize_all(measurements), strict=True))
    text = document(results, machine={}, command="")
    assert [text.count(head) for head in ("| equal answers |", "| equal texts |", "| larger |")] == [1] * 3
    for block in text.split("\n\n"):
        if block.startswith("|"):
            assert len({line.count("|") for line in block.splitlines()}) == 1
    assert json.loads(json.dumps([asdict(found) for _, found in results]))[2]["floor"]["steps"] == 480


def test_the_tables_hold_the_figures_in_columns_of_equal_number() -> None:
    results = [(JOB, summarize(THREE))]
    for table in (speed_table(results), agreement_table(results), floor_table(results)):
        head, marks, *rows = table.splitlines()
        assert len(rows) == 1
        assert head.count("|") == marks.count("|") == rows[0].count("|")
    speed = "| 22.0 | 2.40 | **11.0** (goal 6) | - | 4.5 | 41.7 | 27.0 | 6.4 | 4000 | 1000 |"
    assert f"{speed} **0.25** (goal 0.33) | reached |" in speed_table(results)
    assert "| 100% | 100% | 3.0e-06 | 0 | 4 |" in agreement_table(results)
    assert "| 9000 | 2500 | 2.00 | 2.40 | **1.20** (goal 1.25) | 95.0% |" in floor_table(results)


def test_the_document_says_on_what_and_how_it_was_measured() -> None:
    text = document([(JOB, summarize(THREE))], machine={"processor": "P, 2 cores"}, command="python x.py")
    assert text.startswith("```bash\npython x.py\n```\n")
    assert "processor P, 2 cores" in text
    assert "GFLOP/s = 2 x non-embedding parameters x unique tokens / time" in text


def test_a_token_costs_two_operations_per_parameter() -> None:
    assert forward_gflop(6_000_000, 1000) == 12
