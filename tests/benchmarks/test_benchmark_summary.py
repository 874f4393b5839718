from dataclasses import replace

import pytest
from lm_eval_comparison.agreement import Agreement
from lm_eval_comparison.floor import forward_gflop
from lm_eval_comparison.markdown import agreement_table, document, floor_table, speed_table
from lm_eval_comparison.rounds import Measured, Round, Side
from lm_eval_comparison.summary import summarize
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
FLOOR = {
    "prompt_tokens": 9000,
    "unique_tokens": 2500,
    "floor_s": 2.0,
    "floor_gflop_per_s": 50.0,
    "square_gflop_per_s": 90.0,
    "layer_gflop_per_s": 80.0,
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


def test_the_tables_hold_the_figures_in_columns_of_equal_number() -> None:
    results = [(JOB, summarize(THREE))]
    for table in (speed_table(results), agreement_table(results), floor_table(results)):
        head, marks, *rows = table.splitlines()
        assert len(rows) == 1
        assert head.count("|") == marks.count("|") == rows[0].count("|")
    assert "| 22.0 | 2.40 | **11.0** (goal 6) | 4.5 | 41.7 | 27.0 | 6.4 | 4000 | 1000 |" in speed_table(
        results
    )
    assert "| 100% | 100% | 3.0e-06 | 0 | 4 | reached |" in agreement_table(results)
    assert "| 9000 | 2500 | 2.00 | 2.40 | **1.20** (goal 1.25) | 95.0% |" in floor_table(results)


def test_the_document_says_on_what_and_how_it_was_measured() -> None:
    text = document([(JOB, summarize(THREE))], machine={"processor": "P, 2 cores"}, command="python x.py")
    assert text.startswith("```bash\npython x.py\n```\n")
    assert "processor P, 2 cores" in text
    assert "GFLOP/s = 2 x non-embedding parameters x unique tokens / time" in text


def test_a_token_costs_two_operations_per_parameter() -> None:
    assert forward_gflop(6_000_000, 1000) == 12
