"""Where generated answers end."""

from dataclasses import replace

import pytest
from made_packs import problem, solved

from modeltest.acceptance.end_test import end_test, ends_elsewhere
from modeltest.acceptance.shift_tests import Risks
from modeltest.api import Leaning

QUESTIONS = [problem(number) for number in range(60)]
ENDED = (5, 6, 7, 8, 2)
REFERENCE = {each.id: replace(solved(each, 1), output=ENDED) for each in QUESTIONS}


def taken(outputs, *, twins=(), questions=QUESTIONS):
    """Return the test after answers with these tokens, one for each question."""
    test = end_test(questions, REFERENCE, twins, Risks())
    for question, output in zip(questions, outputs, strict=False):
        answer = None if output == "failed" else replace(REFERENCE[question.id], output=output)
        test.take(question.id, answer)
    return test


@pytest.mark.parametrize(
    ("other", "expected"),
    [
        ((5, 6, 7, 8, 2), False),
        ((5, 6, 7, 8), False),  # an engine that leaves the token out that ends a text
        ((5, 6, 7), True),
        ((), True),
        ((5, 6, 7, 8, 2, 9), False),
        ((5, 6, 7, 8, 2, 9, 9), True),
        ((5, 9, 7), False),  # parted before: nothing is known of its end
        ((5, 9, 7, 8, 2, 9, 9), False),
    ],
)
def test_an_answer_ends_elsewhere_where_it_is_the_beginning_of_the_other(other, expected):
    assert ends_elsewhere(ENDED, other) is expected
    assert ends_elsewhere(other, ENDED) is expected


def test_equal_answers_pass_before_all_were_asked():
    test = taken([ENDED] * 60)
    assert test.leaning is Leaning.PASSED
    assert test.rate.passing.path.decided_at < 60


def test_answers_that_part_in_their_middle_pass_too():
    assert taken([(5, 9, *range(20, 40))] * 60).leaning is Leaning.PASSED


def test_a_token_that_ends_nothing_fails_after_few():
    test = taken([(*ENDED, 30, 31, 32)] * 6)
    assert test.leaning is Leaning.FAILED
    assert test.log_evidence > 0


def test_an_answer_that_failed_has_no_end():
    assert taken(["failed"] * 6).leaning is Leaning.FAILED


def test_an_engine_that_tells_no_tokens_is_not_tested():
    test = taken([ENDED, None, ENDED])
    assert test.leaning is Leaning.NOT_RUN
    assert test.log_evidence == 0.0
    assert test.taken == 1


def test_few_answers_and_single_letters_have_no_test():
    assert end_test(QUESTIONS[:19], REFERENCE, (), Risks()) is None
    letters = [replace(each, first_character_only=True) for each in QUESTIONS]
    assert end_test(letters, REFERENCE, (), Risks()) is None
    untold = {name: replace(answer, output=None) for name, answer in REFERENCE.items()}
    assert end_test(QUESTIONS, untold, (), Risks()) is None


def test_twice_what_a_twin_shows_is_allowed():
    """Six answers of 60 end elsewhere in the twin: 10 %, so 20 % pass and 80 % fail, as of few."""
    twin = {
        each.id: replace(REFERENCE[each.id], output=ENDED[:2] if number < 6 else ENDED)
        for number, each in enumerate(QUESTIONS)
    }
    limits = end_test(QUESTIONS, REFERENCE, [twin], Risks()).rate.limits
    assert (limits.passing, limits.failing) == (pytest.approx(0.2), pytest.approx(0.8))
    plain = end_test(QUESTIONS, REFERENCE, [], Risks()).rate.limits
    assert (plain.passing, plain.failing) == (pytest.approx(2 / 60), pytest.approx(8 / 60))
