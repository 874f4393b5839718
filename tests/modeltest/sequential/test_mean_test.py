"""The betting test of a mean: capital by hand, the exact theorem over all orders, and its borders."""

import random
from itertools import combinations_with_replacement, permutations
from math import exp, inf, log
from statistics import fmean, stdev

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modeltest.api import Leaning
from modeltest.sequential import (
    PAIRED,
    AdaptiveStake,
    AlternativeStake,
    Betting,
    FixedStake,
    MeanNull,
    MeanTest,
    Side,
    signed_betting,
)

HALF = Betting(1.0, (FixedStake(0.5),), (1.0,))
ALPHA = Betting(0.5, (AlternativeStake(),), (1.0,))
RISK = 0.01


def capitals(null, betting, values):
    test = MeanTest(null, betting, risk=RISK)
    found = []
    for value in values:
        test.take(value)
        found.append(exp(test.path.log_evidence))
    return found


def test_half_of_the_capital_staked_by_hand():
    # Means under the null: 0, -1/3, -1/2, then -1; what may be lost: 1, 2/3, 1/2.
    null = MeanNull(0.0, 4, -1.0, 1.0)
    assert capitals(null, HALF, [1, 0, 0, 0]) == pytest.approx([1.5, 1.5 * 1.25, 1.5 * 1.25 * 1.5, inf]), (
        "a sum of 1 at the end is more than 0"
    )


def test_a_loss_takes_what_was_staked():
    assert capitals(MeanNull(0.0, 4, -1.0, 1.0), HALF, [-1]) == pytest.approx([0.5])


def test_rules_share_the_capital_by_their_weights():
    shared = Betting(1.0, (FixedStake(0.5), FixedStake(0.1)), (0.25, 0.75))
    assert capitals(MeanNull(0.0, 4, -1.0, 1.0), shared, [1]) == pytest.approx([0.25 * 1.5 + 0.75 * 1.1])


def test_less_is_greater_with_all_signs_changed():
    up = capitals(MeanNull(0.1, 6, -1.0, 0.5), HALF, [0.5, -0.25, 0.0])
    mirrored = Betting(-1.0, HALF.stakes, HALF.weights)
    down = capitals(MeanNull(-0.1, 6, -0.5, 1.0, Side.LESS), mirrored, [-0.5, 0.25, 0.0])
    assert up == pytest.approx(down)


def test_a_stream_keeps_its_null_mean():
    assert capitals(MeanNull(0.0, None, -1.0, 1.0), HALF, [1, 1, -1]) == pytest.approx([1.5, 2.25, 1.125])


def test_the_likelihood_ratio_of_a_rare_event_is_that_of_two_hypergeometric_laws():
    # 1 of 5 under the null, 3 of 5 under the alternative; seen: no, no, yes.
    first, second, third = (2 / 5) / (4 / 5), (1 / 4) / (3 / 4), (3 / 3) / (1 / 3)
    wald = Betting(0.6, (AlternativeStake(),), (1.0,))
    found = capitals(MeanNull(0.2, 5, 0.0, 1.0), wald, [0, 0, 1])
    assert found == pytest.approx([first, first * second, first * second * third], rel=0.002), (
        "the last but for the thousandth that is never risked"
    )


def test_what_cannot_be_true_any_more_is_excluded_without_risk():
    test = MeanTest(MeanNull(-0.5, 4, -1.0, 1.0), PAIRED, risk=1e-12)
    for value in (0, 0):
        test.take(value)
        assert not test.is_impossible
    test.take(0)
    assert test.is_impossible, "one loss of 4 at most, where the null has 2"
    assert test.path.log_evidence == inf
    assert test.is_excluded
    assert test.path.decided_at == 3


def test_what_is_true_whatever_comes_is_certain_and_never_excluded():
    test = MeanTest(MeanNull(0.0, 2, -1.0, 1.0), HALF, risk=0.7)
    assert test.leaning is Leaning.OPEN
    test.take(1)
    assert test.is_excluded, "1.5 is more than 1 / 0.7"
    assert test.leaning is Leaning.PASSED
    test.take(-1)
    assert test.is_certain
    assert test.leaning is Leaning.FAILED
    assert not test.is_excluded, "the mean is known now"


def test_a_null_that_no_population_keeps_to_is_impossible_at_once():
    test = MeanTest(MeanNull(-1.5, 3, -1.0, 1.0), HALF, risk=RISK)
    assert test.is_impossible
    assert test.path.decided_at == 0


def test_bets_end_where_the_alternative_promises_no_gain():
    assert capitals(MeanNull(0.2, 10, -1.0, 1.0), PAIRED, [-1, 1]) == pytest.approx([1.0, 1.0])


@pytest.mark.parametrize("value", [1.01, -1.01, float("nan"), inf])
def test_values_out_of_bounds_are_refused(value):
    with pytest.raises(ValueError, match="lies outside"):
        MeanTest(MeanNull(0.0, 4, -1.0, 1.0), HALF, risk=RISK).take(value)


def test_a_population_ends():
    test = MeanTest(MeanNull(0.0, 1, -1.0, 1.0), HALF, risk=RISK)
    test.take(0)
    with pytest.raises(ValueError, match="all 1 values"):
        test.take(0)


@pytest.mark.parametrize(
    "wrong",
    [(0.0, 0, -1.0, 1.0), (0.0, 5, 1.0, 1.0), (float("nan"), 5, -1.0, 1.0), (0.0, 5, -inf, 1.0)],
)
def test_a_null_without_a_population_or_bounds_is_refused(wrong):
    with pytest.raises(ValueError, match=r"no null|at least one"):
        MeanNull(*wrong)


def test_the_mean_so_far_keeps_its_sign():
    test = MeanTest(MeanNull(0.0, 9, -1.0, 1.0, Side.LESS), signed_betting(-0.5, 1.0), risk=RISK)
    assert test.mean is None
    for value in (1.0, 0.0):
        test.take(value)
    assert test.mean == 0.5


ADAPTIVE = Betting(0.0, (AdaptiveStake(1.0, 0.1),), (1.0,))


@pytest.mark.parametrize("total", [-3, -2, -1])
@pytest.mark.parametrize("betting", [PAIRED, HALF, ADAPTIVE], ids=["paired", "half", "adaptive"])
def test_over_all_orders_the_expected_capital_is_at_most_one(betting, total):
    """The theorem itself, without noise: every population of 5 that keeps to the null, in all its orders."""
    null = MeanNull(total / 5, 5, -1.0, 1.0)
    for population in combinations_with_replacement((-1, 0, 1), 5):
        if sum(population) > total:
            continue
        orders = list(permutations(population))
        by_time = zip(*(capitals(null, betting, order) for order in orders), strict=True)
        means = [sum(column) / len(orders) for column in by_time]
        assert max(means) <= 1 + 1e-9
        if sum(population) == total and population[0] != population[-1]:
            assert means[0] == pytest.approx(1.0), "at the border of the null nothing is given away"


@pytest.mark.parametrize("risk", [0.5, 0.25, 0.1])
def test_over_all_orders_a_true_null_is_excluded_no_more_often_than_its_risk(risk):
    null = MeanNull(-0.4, 5, -1.0, 1.0)
    worst = 0.0
    for population in combinations_with_replacement((-1, 0, 1), 5):
        if sum(population) <= -2:
            orders = list(permutations(population))
            wrong = sum(max(capitals(null, HALF, order)) >= 1 / risk for order in orders)
            worst = max(worst, wrong / len(orders))
    assert worst <= risk
    assert worst > 0 or risk < 0.2, "of 5 values few orders say more"


def test_in_two_thousand_orders_a_drop_of_exactly_the_limit_passes_as_seldom_as_its_risk():
    """12 of 60 lost, 4 won: 8 are the limit. A risk of 10 %: 200 of 2,000 with a deviation of 13."""
    population = [-1] * 12 + [1] * 4 + [0] * 44
    source = random.Random(15)
    excluded, evidence = 0, []
    for _ in range(2_000):
        source.shuffle(population)
        test = MeanTest(MeanNull(-8 / 60, 60, -1.0, 1.0), PAIRED, risk=0.1)
        for step, value in enumerate(population[:40], 1):
            test.take(value)
            if step == 5:  # later on the mean rests on orders too rare to be among 2,000
                evidence.append(exp(test.path.log_evidence))
        excluded += test.path.decided_at is not None
    assert 0 < excluded <= 200 + 4 * 13
    assert fmean(evidence) == pytest.approx(1.0, abs=5 * stdev(evidence) / 2_000**0.5)


@given(
    st.lists(st.floats(-1, 1), min_size=1, max_size=30),
    st.floats(-0.99, 0.99),
    st.integers(0, 20),
    st.sampled_from(Side),
)
def test_capital_is_never_negative_and_always_a_number(values, mean, more, side):
    null = MeanNull(mean, len(values) + more, -1.0, 1.0, side)
    for betting in (PAIRED, signed_betting(0.3, 1.0), ALPHA):
        test = MeanTest(null, betting, risk=RISK)
        for value in values:
            test.take(value)
            assert test.path.log_evidence > -inf
            assert not (test.is_impossible and test.is_certain)
        assert test.path.log_maximum >= 0


@given(st.lists(st.sampled_from((-1, 0, 1)), min_size=1, max_size=25), st.integers(-25, 25))
def test_when_all_were_asked_the_decision_is_exact(values, total):
    test = MeanTest(MeanNull(total / len(values), len(values), -1.0, 1.0), PAIRED, risk=1e-9)
    for value in values:
        test.take(value)
    assert test.is_impossible == (sum(values) > total)
    assert test.is_certain == (sum(values) <= total)
    assert test.is_excluded == (sum(values) > total)


def test_no_answer_that_differs_excludes_half_a_point_as_soon_as_the_stake_allows():
    """71 of 14,042 lost: all of them are missed by 881 questions with a probability of 1 %."""
    test = MeanTest(MeanNull(-71 / 14_042, 14_042, -1.0, 1.0), PAIRED, risk=0.01)
    while not test.is_excluded:
        test.take(0)
    assert 881 <= (test.path.decided_at or 0) <= 1_200
    missed = sum(log((14_042 - 71 - i) / (14_042 - i)) for i in range(881))
    assert missed == pytest.approx(log(0.01), abs=0.01)
