"""The two-sided test passes means near 0, fails those far away, and holds its error over all orders."""

from itertools import combinations_with_replacement, permutations

import pytest

from modeltest.api import Leaning
from modeltest.sequential import EquivalenceLimits, EquivalenceTest

LIMITS = EquivalenceLimits(bound=0.1, largest=1.0, population=1_000)


def asked(limits, values, risk=0.01):
    test = EquivalenceTest(limits, accept_risk=risk, reject_risk=risk)
    for value in values:
        test.take(value)
        if test.leaning is not Leaning.OPEN:
            break
    return test


def test_values_without_a_direction_pass():
    test = asked(LIMITS, [0.1, -0.1] * 200)
    assert test.leaning is Leaning.PASSED
    assert test.mean == pytest.approx(0.0, abs=0.01)


@pytest.mark.parametrize("sign", [1, -1])
def test_values_with_a_direction_fail_in_either(sign):
    test = asked(LIMITS, [sign * 0.4, sign * 0.2] * 200)
    assert test.leaning is Leaning.FAILED
    assert (test.mean or 0) * sign > 0.1


def test_the_two_directions_are_mirror_images():
    values = [0.3, -0.1, 0.2, 0.4, -0.2] * 20
    one, other = (asked(LIMITS, [sign * each for each in values], 1e-9) for sign in (1, -1))
    assert one.passing.log_maximum == pytest.approx(other.passing.log_maximum)
    assert one.failing.log_evidence == pytest.approx(other.failing.log_evidence)


@pytest.mark.parametrize(
    ("values", "leaning"),
    [([0.5, -0.5, 0, 0], Leaning.PASSED), ([0.5, 0, 0, 0], Leaning.FAILED), ([-1, 0, 0, 0], Leaning.FAILED)],
)
def test_when_all_were_asked_the_decision_is_exact(values, leaning):
    test = EquivalenceTest(EquivalenceLimits(0.125, 1.0, 4), accept_risk=1e-9, reject_risk=1e-9)
    for value in values:
        test.take(value)
    assert test.leaning is leaning, "a mean of exactly the bound does not pass"


@pytest.mark.parametrize("risk", [0.5, 0.2])
def test_over_all_orders_neither_side_errs_more_often_than_its_risk(risk):
    """At a mean of exactly the bound neither side may speak, but with its risk."""
    limits = EquivalenceLimits(0.2, 1.0, 5)
    for population in combinations_with_replacement((-1, 0, 1), 5):
        orders = list(permutations(population))
        tests = [EquivalenceTest(limits, accept_risk=risk, reject_risk=risk) for _ in orders]
        for test, order in zip(tests, orders, strict=True):
            for value in order:
                test.take(value)
        passed = sum(test.passing.decided_at is not None for test in tests) / len(orders)
        failed = sum(test.failing.decided_at is not None for test in tests) / len(orders)
        assert passed <= risk or abs(sum(population)) == 0
        assert failed <= risk or abs(sum(population)) > 1


@pytest.mark.parametrize(("bound", "largest"), [(0.0, 1.0), (1.0, 1.0), (-0.1, 1.0)])
def test_a_bound_outside_the_values_is_refused(bound, largest):
    with pytest.raises(ValueError, match="less than the largest value"):
        EquivalenceLimits(bound, largest, 10)


def test_a_value_beyond_the_largest_is_refused():
    with pytest.raises(ValueError, match="lies outside"):
        asked(LIMITS, [1.5])
