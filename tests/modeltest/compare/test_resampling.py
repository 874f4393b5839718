from statistics import median

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modeltest.compare.resampling import change, expanded_tail, units

TIMES = st.lists(st.lists(st.floats(1, 100), min_size=1, max_size=4), min_size=2, max_size=5)


def test_a_side_is_the_median_of_its_sessions_medians():
    found = change([[1, 2, 9], [3, 4, 5], [7]], [[4, 4], [8, 8], [6, 6]], confidence=0.95)
    assert (found.reference, found.candidate) == (4, 6)
    assert found.ratio == 1.5
    assert found.difference == 2


def test_a_single_session_is_resampled_by_its_trials():
    assert units([[3, 1, 2]]) == [3, 1, 2]
    assert units([[3, 1, 2], [5]]) == [2, 5]
    assert units([[], [4, 5]]) == [4, 5]


def test_of_three_sessions_the_interval_is_all_that_they_may_give():
    """Three values say too little for anything narrower."""
    found = change([[10], [11], [12]], [[20], [22], [26]], confidence=0.95)
    assert (found.ratio_interval.low, found.ratio_interval.high) == (20 / 12, 26 / 10)
    assert (found.difference_interval.low, found.difference_interval.high) == (8, 16)


def test_of_five_sessions_the_ends_are_further_out_than_the_percentiles():
    """The least ratio has a probability of 0.058^2: a plain percentile passes over it."""
    values = [[1.0], [2.0], [3.0], [4.0], [5.0]]
    found = change(values, values, confidence=0.95).ratio_interval
    assert (found.low, found.high) == (0.2, 5.0)


def test_one_value_has_no_interval():
    found = change([[10]], [[20], [22], [26]], confidence=0.95)
    assert found.ratio_interval is None
    assert found.ratio == 2.2


def test_the_tails_of_many_values_are_those_asked_for_and_of_few_smaller():
    assert expanded_tail(0.025, 1000) == pytest.approx(0.025, rel=0.02)
    assert expanded_tail(0.025, 20) == pytest.approx(0.0159, abs=2e-4)  # Phi(-2.0930 sqrt(20 / 19))
    assert expanded_tail(0.025, 3) < 1e-6


@given(TIMES, TIMES)
@settings(max_examples=15)
def test_the_interval_holds_the_ratio_and_the_same_data_gives_it_again(reference, candidate):
    found = change(reference, candidate, confidence=0.95)
    assert found.ratio_interval.low <= found.ratio * (1 + 1e-12)
    assert found.ratio_interval.high >= found.ratio * (1 - 1e-12)
    assert change(reference, candidate, confidence=0.95) == found
    assert found.candidate == median(map(median, candidate))


def test_intervals_of_many_trials_cover_the_true_ratio():
    numpy = pytest.importorskip("numpy")
    random = numpy.random.default_rng(1)
    held = 0
    for _ in range(150):
        one, other = random.normal(10, 0.3, (2, 15)).tolist()
        found = change([one], [other], confidence=0.95).ratio_interval
        held += found.low <= 1 <= found.high
    assert held >= 0.9 * 150
