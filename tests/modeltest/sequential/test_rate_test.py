"""The ratio test of a rare event, by numbers that can be computed by hand."""

from itertools import combinations
from math import exp, inf, log

import pytest

from modeltest.api import Leaning
from modeltest.sequential import RateLimits, RateTest


def asked(limits, seen, risk=0.01):
    test = RateTest(limits, accept_risk=risk, reject_risk=risk)
    for each in seen:
        test.take(each)
        if test.leaning is not Leaning.OPEN:
            break
    return test


STREAM = RateLimits(0.002, 0.015, None)


def test_a_port_without_an_event_passes_after_352_questions():
    """Each raises the evidence by log(0.998 / 0.985) = 0.01311; 352 reach log(100) = 4.605."""
    test = asked(STREAM, [False] * 400)
    assert test.leaning is Leaning.PASSED
    assert test.passing.path.decided_at == 352
    assert test.passing.path.log_evidence == pytest.approx(352 * log(0.998 / 0.985))


def test_three_events_in_a_row_are_too_many():
    """Each is worth log(0.015 / 0.002) = 2.015; two are 4.03, three 6.04."""
    test = asked(STREAM, [True] * 4)
    assert test.leaning is Leaning.FAILED
    assert test.failing.path.decided_at == 3
    assert test.failing.path.log_evidence == pytest.approx(3 * log(7.5))
    assert test.rate == 1.0


def test_of_a_population_the_whole_numbers_of_events_count():
    limits = RateLimits(0.002, 0.015, 1_000)
    assert limits.rates() == (0.002, 0.015)
    assert RateLimits(0.002, 0.015, 1_300).rates() == pytest.approx((2 / 1_300, 20 / 1_300))


def test_more_events_than_pass_are_known_without_risk():
    test = asked(RateLimits(0.01, 0.3, 100), [False] * 5 + [True, True], risk=1e-9)
    assert test.failing.is_impossible, "1 of 100 may be; 2 were seen"
    assert test.failing.path.log_evidence == inf
    assert test.leaning is Leaning.FAILED


def test_when_all_were_asked_both_sides_are_known():
    between = RateTest(RateLimits(0.1, 0.5, 10), accept_risk=1e-9, reject_risk=1e-9)
    for seen in [False] * 7 + [True] * 3:
        between.take(seen)
    assert between.passing.is_excluded, "3 of 10 are less than 5"
    assert between.failing.is_excluded, "and more than 1"
    assert between.leaning is Leaning.FAILED
    none = asked(RateLimits(0.1, 0.5, 10), [False] * 10, risk=1e-9)
    assert none.leaning is Leaning.PASSED


@pytest.mark.parametrize("wrong", [(0.2, 0.1, 100), (0.1, 0.1, None), (-0.1, 0.1, None), (0.1, 1.1, None)])
def test_rates_out_of_order_are_refused(wrong):
    with pytest.raises(ValueError, match="0 <= passing < failing <= 1"):
        RateLimits(*wrong)


@pytest.mark.parametrize("risk", [0.3, 0.1])
def test_over_all_orders_neither_side_errs_more_often_than_its_risk(risk):
    limits = RateLimits(0.1, 0.4, 10)
    for events, side in ((1, Leaning.FAILED), (4, Leaning.PASSED)):
        places = list(combinations(range(10), events))
        wrong = 0
        for place in places:
            test = asked(limits, [index in place for index in range(10)], risk)
            wrong += test.leaning is side
        assert wrong / len(places) <= risk


def test_evidence_has_an_expectation_of_one_over_all_orders_at_the_limit():
    limits = RateLimits(0.25, 0.5, 8)
    totals = [0.0] * 6
    places = list(combinations(range(8), 2))
    for place in places:
        test = RateTest(limits, accept_risk=0.01, reject_risk=0.01)
        for index in range(6):
            test.take(index in place)
            totals[index] += exp(test.failing.path.log_evidence)
    # Once more of the rest would be events than there are, the stake is held below all of the capital.
    assert [total / len(places) for total in totals] == pytest.approx([1.0] * 6)
