"""How much is risked, by numbers that can be computed by hand."""

from dataclasses import replace
from math import log, sqrt

import pytest

from modeltest.sequential import AdaptiveStake, AlternativeStake, Betting, FixedStake
from modeltest.sequential.stakes import MOST, Outlook

OUTLOOK = Outlook(edge=0.1, rest_edge=0.2, downside=0.5, upside=0.8, taken=10, squares=1.0)


def test_a_fixed_part_is_risked_where_a_gain_is_promised():
    assert FixedStake(0.3).fraction(OUTLOOK) == 0.3
    assert FixedStake(0.3).fraction(replace(OUTLOOK, edge=0.0)) == 0.0
    assert FixedStake(1.0).fraction(OUTLOOK) == MOST


def test_the_part_that_grows_fastest_is_the_root_of_its_equation():
    # In units of what may be lost: an edge of 0.2, and (10 * 0.05 + 1) / 20 / 0.25 = 0.3 of squares.
    part = AdaptiveStake(10.0, 0.05).fraction(OUTLOOK)
    assert part == pytest.approx((-0.3 + sqrt(0.3**2 + 4 * 0.2**2)) / (2 * 0.2))
    assert 0.2 * part**2 + 0.3 * part == pytest.approx(0.2)


def test_expected_growth_is_largest_near_the_part_that_is_risked():
    stake = AdaptiveStake(10.0, 0.05)
    part = stake.fraction(OUTLOOK)

    def growth(part):
        return 0.15 * log(1 - part**2) + log(1 + part * 0.2)

    assert stake.growth(OUTLOOK) == pytest.approx(growth(part))
    assert growth(part) >= max(growth(part - 0.1), growth(part + 0.1))


def test_values_that_never_differ_are_bet_on_with_nearly_all():
    calm = replace(OUTLOOK, taken=10_000, squares=0.0)
    assert AdaptiveStake(1.0, 0.01).fraction(calm) > 0.99


@pytest.mark.parametrize("stake", [AdaptiveStake(1.0, 0.1), AlternativeStake(), FixedStake(0.5)])
def test_nothing_is_risked_without_an_edge(stake):
    assert stake.fraction(replace(OUTLOOK, edge=-0.1, rest_edge=-0.1)) == 0.0


def test_no_growth_is_expected_without_an_edge():
    assert AdaptiveStake(1.0, 0.1).growth(replace(OUTLOOK, edge=0.0)) == 0.0


def test_a_likelihood_ratio_stakes_what_the_rest_of_the_population_promises():
    assert AlternativeStake().fraction(OUTLOOK) == pytest.approx(0.25)
    assert AlternativeStake().fraction(replace(OUTLOOK, rest_edge=2.0)) == MOST


@pytest.mark.parametrize("weights", [(0.5,), (0.5, 0.6), (1.0, 0.0), ()])
def test_capital_is_shared_out_exactly(weights):
    with pytest.raises(ValueError, match="sum to 1"):
        Betting(0.0, (FixedStake(0.1), FixedStake(0.2)), weights)
