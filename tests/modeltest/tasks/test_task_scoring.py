"""Choices by log-probability: argmax, ties, margins, and what is no answer at all."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modeltest.api import Completion, Record, Score, TaskData
from modeltest.tasks.scoring import best_choice, category_of, contradiction_of, failed_score, score_choices

RECORD = Record("s/0", "s", {"answer": "yes"})
LABELS = ("no", "yes")
NAN = float("nan")


def score(*logprobs: float, error: str | None = None, **options):
    return score_choices(
        RECORD, Completion(RECORD.id, choice_logprobs=logprobs, error=error), labels=LABELS, **options
    )


def test_highest_log_probability_wins():
    assert best_choice((-3.0, -0.5, -2.0)).index == 1


def test_margin_is_the_lead_over_the_second():
    assert best_choice((-3.0, -0.5, -2.0)).margin == 1.5


def test_first_of_equals_wins_unless_the_last_is_asked_for():
    assert best_choice((-1.0, -1.0, -2.0)).index == 0
    assert best_choice((-1.0, -1.0, -2.0), last_wins_ties=True).index == 1


def test_tie_has_no_margin_but_zero():
    assert best_choice((-1.0, -1.0)).margin == 0.0
    assert best_choice((-math.inf, -math.inf)).margin == 0.0


def test_margin_is_unknown_without_a_possible_second():
    assert best_choice((-1.0,)).margin is None
    assert best_choice((-1.0, -math.inf)).margin is None


@given(st.lists(st.floats(max_value=0, allow_nan=False), min_size=1), st.booleans())
def test_best_choice_is_a_maximum_and_its_margin_never_negative(logprobs, last_wins_ties):
    best = best_choice(logprobs, last_wins_ties=last_wins_ties)
    assert logprobs[best.index] == max(logprobs)
    equals = [index for index, value in enumerate(logprobs) if value == max(logprobs)]
    assert best.index == equals[-1 if last_wins_ties else 0]
    assert best.margin is None or best.margin >= 0


def test_right_and_wrong_choices():
    right, wrong = score(-2.0, -1.0), score(-1.0, -2.0)
    assert (right.predicted, right.correct, right.margin) == ("yes", True, 1.0)
    assert (wrong.predicted, wrong.correct, wrong.margin) == ("no", False, 1.0)
    assert (right.expected, right.request_id, right.subject) == ("yes", "s/0", "s")


def test_tie_rule_reaches_the_score():
    assert score(-1.0, -1.0).predicted == "no"
    assert score(-1.0, -1.0, last_wins_ties=True).predicted == "yes"


def same_number(predicted, expected):
    return float(predicted) == float(expected)


def test_a_task_may_have_its_own_rule_for_answers_that_agree():
    right = Score("s/0", "s", "", "18", predicted="18.0", correct=True)
    assert contradiction_of(right, agree=same_number) is None
    assert contradiction_of(right) == "correct is true, but '18.0' was answered and '18' is expected"


def test_an_answer_that_the_rule_of_the_task_cannot_read_is_a_contradiction():
    damaged = Score("s/0", "s", "", "18", predicted="x8", correct=False)
    assert contradiction_of(damaged, agree=same_number) == (
        "'x8' was answered and '18' is expected: could not convert string to float: 'x8'"
    )


def test_a_failed_score_expects_the_answer_of_the_record_or_what_is_said():
    assert failed_score(RECORD, "out of paper").expected == "yes"
    assert failed_score(RECORD, "out of paper", expected="y").expected == "y"


def test_error_of_the_engine_makes_a_failed_score_whatever_else_came():
    failed = score(-2.0, -1.0, error="out of paper", category="c")
    assert failed == failed_score(RECORD, "out of paper", category="c")
    assert (failed.correct, failed.predicted, failed.margin, failed.error) == (
        None,
        None,
        None,
        "out of paper",
    )


@pytest.mark.parametrize("logprobs", [(), (-1.0,), (-1.0, -2.0, -3.0)])
def test_wrong_number_of_log_probabilities_is_a_failed_request(logprobs):
    assert score(*logprobs).error == f"the engine gave {len(logprobs)} log-probabilities for 2 choices"


@pytest.mark.parametrize("logprobs", [(NAN, -1.0), (-1.0, NAN), (NAN, NAN), (math.inf, -1.0)])
def test_overflow_is_a_failed_request_not_an_answer(logprobs):
    failed = score(*logprobs)
    assert failed.correct is None
    assert failed.error.startswith("the engine gave log-probabilities that are not numbers: ")


def test_impossible_choice_is_a_valid_one_to_lose():
    assert score(-math.inf, -1.0).correct is True


def test_category_comes_from_the_card_or_is_empty():
    assert category_of(RECORD, TaskData((), {}, {"s": {"category": "STEM"}})) == "STEM"
    assert category_of(RECORD, TaskData((), {}, {"s": {}})) == ""
    assert category_of(RECORD, TaskData((), {}, {})) == ""
