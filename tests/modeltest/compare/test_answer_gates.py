"""What the gates say of tables made by hand, and how often chance makes them say what is not so."""

from dataclasses import replace
from functools import cache, partial

import pytest
from made_answers import answers, counted, sample

from modeltest.api import GateOutcome
from modeltest.compare import answer_gates as gates
from modeltest.compare.accuracy import compare_answers
from modeltest.compare.answer_gates import answer_gates, divergence_gate, failure_gate
from modeltest.compare.tolerances import Tolerances
from modeltest.rounding import RESOLUTIONS

DRAWS = 4000
DEFAULT = Tolerances()
FLOAT32 = RESOLUTIONS["float32"]
BFLOAT16 = RESOLUTIONS["bfloat16"]
accuracy_gate = partial(gates.accuracy_gate, share=0.05)
flip_gate = partial(gates.flip_gate, share=0.05)
subject_gate = partial(gates.subject_gate, share=0.05)


@cache
def outcome(questions: int, reference_only: int, candidate_only: int) -> GateOutcome:
    return accuracy_gate(counted(questions, reference_only, candidate_only), DEFAULT).outcome


def rates(questions: int, *, reference_only: float, candidate_only: float) -> dict[GateOutcome, float]:
    """Return how often each outcome comes of questions that differ with these probabilities."""
    numpy = pytest.importorskip("numpy")
    shares = [reference_only, candidate_only, 1 - reference_only - candidate_only]
    tables = numpy.random.default_rng(0).multinomial(questions, shares, size=DRAWS)
    found = [outcome(questions, int(b), int(c)) for b, c, _ in tables]
    return {each: found.count(each) / DRAWS for each in GateOutcome}


@pytest.mark.parametrize("questions", [500, 3270])
@pytest.mark.parametrize("share", [0.002, 0.02, 0.08])
def test_a_port_that_is_no_worse_fails_in_at_most_one_of_forty_runs(questions, share):
    assert rates(questions, reference_only=share / 2, candidate_only=share / 2)[GateOutcome.FAIL] <= 0.025


@pytest.mark.parametrize("share", [0.006, 0.02, 0.08])
def test_a_port_that_drops_by_what_is_not_allowed_passes_in_at_most_one_of_twenty(share):
    found = rates(3270, reference_only=(share + 0.005) / 2, candidate_only=(share - 0.005) / 2)
    assert found[GateOutcome.PASS] <= 0.06, "5 % and the error of 4000 draws"


@pytest.mark.parametrize("questions", [539, 700, 1000])
def test_where_every_different_answer_is_a_lost_one_few_too_large_drops_pass(questions):
    assert rates(questions, reference_only=0.005, candidate_only=0.0)[GateOutcome.PASS] <= 0.075


def test_a_real_drop_is_caught_and_a_good_port_of_a_full_set_passes():
    assert rates(3270, reference_only=0.03, candidate_only=0.01)[GateOutcome.FAIL] > 0.95
    assert rates(500, reference_only=0.06, candidate_only=0.01)[GateOutcome.FAIL] > 0.95
    assert rates(3270, reference_only=0.003, candidate_only=0.003)[GateOutcome.PASS] > 0.95


def test_a_small_drop_on_few_questions_is_neither():
    gate = accuracy_gate(counted(500, 4, 1), DEFAULT)
    assert gate.outcome is GateOutcome.INCONCLUSIVE
    assert (gate.value, gate.limit) == (-0.006, -0.005)
    assert gate.questions_needed == 2706
    assert "accuracy changes by -0.60%" in gate.statement
    assert "about 2706 questions would tell" in gate.statement


def test_identical_answers_pass_however_few_they_are():
    gate = accuracy_gate(counted(24, 0, 0), DEFAULT)
    assert gate.outcome is GateOutcome.PASS
    assert gate.statement == "all 24 answers are identical, so that accuracy is the same on these questions"


def test_a_drop_within_what_is_allowed_never_fails_however_sure_it_is():
    gate = accuracy_gate(counted(3270, 12, 2), DEFAULT)
    assert counted(3270, 12, 2).overall.p_value < 0.02
    assert gate.outcome is GateOutcome.INCONCLUSIVE


def test_a_drop_that_chance_explains_does_not_fail():
    assert accuracy_gate(counted(100, 5, 0), DEFAULT).outcome is GateOutcome.INCONCLUSIVE, "p = 0.0625"
    assert accuracy_gate(counted(100, 6, 0), DEFAULT).outcome is GateOutcome.FAIL, "p = 0.03125"


def test_a_better_candidate_passes():
    gate = accuracy_gate(counted(500, 2, 30), DEFAULT)
    assert gate.outcome is GateOutcome.PASS
    assert "any drop is excluded" in gate.statement


def test_without_a_pair_nothing_is_known():
    gate = accuracy_gate(counted(0, 0, 0), DEFAULT)
    assert gate.outcome is GateOutcome.INCONCLUSIVE
    assert gate.value is None


@pytest.mark.parametrize(
    ("questions", "wide", "expected"),
    [
        (500, 0, GateOutcome.PASS),
        (500, 1, GateOutcome.PASS),
        (500, 2, GateOutcome.INCONCLUSIVE),
        (500, 9, GateOutcome.INCONCLUSIVE),
        (500, 10, GateOutcome.FAIL),
        (100, 2, GateOutcome.INCONCLUSIVE),
        (20, 20, GateOutcome.FAIL),
    ],
)
def test_wide_flips_are_held_against_one_percent(questions, wide, expected):
    found = counted(questions, wide, 5, wide=wide) if questions > 20 else counted(20, 20, 0, wide=wide)
    gate = flip_gate(found, DEFAULT, FLOAT32)
    assert gate.outcome is expected
    assert gate.limit == 0.01


@pytest.mark.parametrize(
    ("share", "least", "most"), [(0.005, 0.0, 0.001), (0.01, 0.0, 0.05), (0.03, 0.93, 1.0)]
)
def test_how_often_500_questions_fail_for_their_wide_flips(share, least, most):
    stats = pytest.importorskip("scipy.stats")
    fails = (
        k
        for k in range(60)
        if flip_gate(counted(500, k, 0, wide=k), DEFAULT, FLOAT32).outcome is GateOutcome.FAIL
    )
    assert least <= sum(stats.binom.pmf(k, 500, share) for k in fails) <= most


def test_without_margins_every_flip_counts_and_rounding_is_allowed_for():
    assert flip_gate(counted(500, 8, 8), DEFAULT, FLOAT32).outcome is GateOutcome.PASS
    assert flip_gate(counted(500, 20, 20), DEFAULT, FLOAT32).outcome is GateOutcome.FAIL
    assert flip_gate(counted(500, 35, 35), DEFAULT, BFLOAT16).outcome is GateOutcome.INCONCLUSIVE
    assert flip_gate(counted(500, 60, 60), DEFAULT, BFLOAT16).outcome is GateOutcome.FAIL
    assert (
        flip_gate(counted(500, 20, 20), replace(DEFAULT, max_flips=0.2), FLOAT32).outcome is GateOutcome.PASS
    )


@pytest.mark.parametrize(
    ("resolution", "questions", "share", "least", "most"),
    [
        (BFLOAT16, 100, 0.105, 0.0, 0.005),
        (BFLOAT16, 500, 0.105, 0.0, 0.001),
        (BFLOAT16, 500, 0.22, 0.98, 1.0),
        (FLOAT32, 500, 0.105, 0.99, 1.0),
    ],
)
def test_how_often_generated_answers_fail_for_what_rounding_changes(
    resolution, questions, share, least, most
):
    stats = pytest.importorskip("scipy.stats")
    fails = (
        k
        for k in range(questions)
        if flip_gate(counted(questions, k, 0), DEFAULT, resolution).outcome is GateOutcome.FAIL
    )
    assert least <= sum(stats.binom.pmf(k, questions, share) for k in fails) <= most


def test_a_flip_gate_that_cannot_tell_says_how_many_questions_could():
    gate = flip_gate(counted(100, 1, 0, wide=0), DEFAULT, FLOAT32)
    assert gate.outcome is GateOutcome.INCONCLUSIVE
    assert gate.questions_needed == 300, "0.99^300 < 0.05 < 0.99^200"


def test_a_subject_that_broke_is_found_among_many():
    good = [(f"s{subject}/{row}", "yes", "yes") for subject in range(20) for row in range(20)]
    bad = [(f"broken/{row}", "yes", "no" if row < 12 else "yes") for row in range(20)]
    rows = good + bad
    found = compare_answers(
        answers(*(sample(name, one) for name, one, _ in rows)),
        answers(*(sample(name, other) for name, _, other in rows)),
        near_tie_margin=0.1,
    )
    gate = subject_gate(found)
    assert gate.outcome is GateOutcome.FAIL
    assert gate.statement.endswith("broken")
    assert found.subjects["broken"].adjusted_p_value == pytest.approx(21 * 2 / 2**12)


def test_a_question_that_only_the_candidate_failed_fails_the_gate():
    found = compare_answers(
        answers(sample("s/0", "yes"), sample("s/1", "yes"), sample("s/2", None, error="lost")),
        answers(sample("s/0", "yes"), sample("s/1", None, error="NaN"), sample("s/2", "yes")),
        near_tie_margin=0.1,
    )
    assert found.questions == 1
    assert found.failed_in_candidate == ("s/1",)
    assert found.failed_in_reference == ("s/2",)
    gate = failure_gate(found)
    assert gate.outcome is GateOutcome.FAIL
    assert gate.statement == "the candidate failed on 1 questions that the reference answered: s/1"
    names = [each.name for each in answer_gates(found, DEFAULT, RESOLUTIONS["float16"])]
    assert names == ["accuracy", "answers"], "allowed failures are told and not judged"


def test_the_divergence_allowed_is_that_of_the_coarser_dtype():
    reference = answers(sample("s/0", "yes", logprobs=(-0.7, -0.69)))
    candidate = answers(sample("s/0", "no", logprobs=(-0.6, -0.75)))
    found = compare_answers(reference, candidate, near_tie_margin=0.3)
    assert found.divergence.mean_kl == pytest.approx(0.0032, abs=1e-5)
    assert divergence_gate(found, DEFAULT, BFLOAT16).outcome is GateOutcome.PASS
    assert divergence_gate(found, DEFAULT, RESOLUTIONS["float16"]).outcome is GateOutcome.FAIL
    assert (
        divergence_gate(found, replace(DEFAULT, max_kl=0.1), RESOLUTIONS["float16"]).outcome
        is GateOutcome.PASS
    )


def test_equal_answers_of_which_other_ones_are_right_are_not_the_same_accuracy():
    reference = answers(*(sample(f"s/{number}", "yes") for number in range(40)))
    relabelled = answers(*(sample(f"s/{number}", "yes", expected="no") for number in range(40)))
    found = compare_answers(reference, relabelled, near_tie_margin=0.1)
    assert found.flips == ()
    assert accuracy_gate(found, DEFAULT).outcome is GateOutcome.FAIL


def test_where_no_wide_flip_is_allowed_none_passes_and_one_fails():
    none = replace(DEFAULT, max_flips=0.0)
    assert flip_gate(counted(500, 3, 2, wide=0), none, FLOAT32).outcome is GateOutcome.PASS
    assert flip_gate(counted(500, 3, 2, wide=1), none, FLOAT32).outcome is GateOutcome.FAIL


def test_questions_that_neither_run_answers_agree_in_nothing():
    unanswered = [sample(f"s/{number}", None) for number in range(400)]
    found = compare_answers(
        answers(*unanswered, sample("t/0", "yes")),
        answers(*unanswered, sample("t/0", "yes")),
        near_tie_margin=0.1,
    )
    assert found.unanswered == 400
    accuracy, flips = accuracy_gate(found, DEFAULT), flip_gate(replace(found, flips=()), DEFAULT, FLOAT32)
    assert accuracy.outcome is GateOutcome.INCONCLUSIVE
    assert accuracy.statement.startswith("neither run gave an answer to 400 of 401 questions")
    assert "0 of 1 questions are answered differently, neither run answers 400 others" in flips.statement


def test_a_few_questions_without_an_answer_do_no_harm():
    rows = [sample(f"s/{number}", "yes" if number else None) for number in range(40)]
    found = compare_answers(answers(*rows), answers(*rows), near_tie_margin=0.1)
    assert accuracy_gate(found, DEFAULT).outcome is GateOutcome.PASS
    assert flip_gate(found, DEFAULT, FLOAT32).outcome is GateOutcome.PASS


def test_a_candidate_that_stops_answering_fails():
    before = answers(*(sample(f"s/{number}", "yes") for number in range(100)))
    after = answers(*(sample(f"s/{number}", None) for number in range(100)))
    found = compare_answers(before, after, near_tie_margin=0.1)
    assert (found.unanswered, len(found.flips)) == (0, 100)
    assert accuracy_gate(found, DEFAULT).outcome is GateOutcome.FAIL
    assert flip_gate(found, DEFAULT, FLOAT32).outcome is GateOutcome.FAIL
