import math
import random
from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modeltest.rank_statistics import drift, overhead

_TIMES = st.floats(min_value=1e-3, max_value=1e3)


def test_a_perfect_rise_has_its_slope_and_the_smallest_p_value() -> None:
    found = drift([10.0, 11.0, 12.0, 13.0, 14.0, 15.0])
    assert found is not None
    assert found.slope_per_trial == 1.0
    assert found.change == pytest.approx(5 / 12.5)
    assert found.p_value == pytest.approx(2 / math.factorial(6))


def test_a_fall_is_a_rise_mirrored() -> None:
    rise, fall = drift([1.0, 2.0, 4.0, 8.0]), drift([8.0, 4.0, 2.0, 1.0])
    assert rise is not None
    assert fall is not None
    assert (fall.slope_per_trial, fall.p_value) == (-rise.slope_per_trial, rise.p_value)


def test_p_values_are_those_of_all_orders_counted_out() -> None:
    # Of the 24 orders of four values, the scores are those of the definition.
    scores = [
        sum((later > earlier) - (later < earlier) for i, earlier in enumerate(order) for later in order[i:])
        for order in permutations(range(4))
    ]
    for order in permutations((1.0, 2.0, 3.0, 4.0)):
        found = drift(order)
        score = sum(
            (later > earlier) - (later < earlier) for i, earlier in enumerate(order) for later in order[i:]
        )
        expected = min(1.0, 2 * sum(each >= abs(score) for each in scores) / 24)
        assert found is not None
        assert found.p_value == pytest.approx(expected)


def test_one_slow_trial_is_no_drift() -> None:
    found = drift([10.0, 10.1, 9.9, 10.0, 10.1, 30.0])
    assert found is not None
    assert abs(found.change) < 0.05
    assert found.p_value > 0.1


@pytest.mark.parametrize("values", [[], [1.0, 2.0], [0.0, 0.0, 0.0]])
def test_too_few_trials_have_no_drift(values: list[float]) -> None:
    assert drift(values) is None


def test_equal_trials_do_not_drift() -> None:
    found = drift([5.0] * 8)
    assert found is not None
    assert (found.slope_per_trial, found.change, found.p_value) == (0.0, 0.0, 1.0)


@pytest.mark.parametrize("n", [6, 12, 20, 44])
def test_trials_without_a_trend_are_said_to_drift_at_most_once_in_a_hundred(n: int) -> None:
    draw = random.Random(n)
    runs = 2000 if n < 40 else 500
    alarms = 0
    for _ in range(runs):
        found = drift([100 * (1 + 0.01 * draw.gauss(0, 1)) for _ in range(n)])
        assert found is not None
        alarms += found.p_value <= 0.01
    assert alarms / runs <= 0.015  # 0.01 and three standard errors of 2000 draws


def test_a_drift_of_one_noise_width_over_twenty_trials_is_found() -> None:
    draw = random.Random(1)
    found = drift([100 + 0.3 * trial + draw.gauss(0, 1) for trial in range(20)])
    assert found is not None
    assert found.p_value < 0.01
    assert found.change == pytest.approx(0.06, abs=0.03)


def test_overhead_is_the_median_of_all_ratios() -> None:
    found = overhead([1.02, 1.03, 1.04], [1.0])
    assert found is not None
    assert found.fraction == pytest.approx(0.03)
    assert found.bare_trials == 1
    assert (found.low, found.high) == (None, None)  # 3 with 1 bound nothing at 95 %


def test_the_interval_of_five_with_three_is_from_the_least_ratio_to_the_largest() -> None:
    found = overhead([1.01, 1.02, 1.03, 1.04, 1.05], [1.0, 1.0, 1.0])
    assert found is not None
    assert found.low is not None
    assert found.high is not None
    # 1 of 56 arrangements lies beyond either end, which is less than 2.5 %.
    assert (found.low, found.high) == (pytest.approx(0.01), pytest.approx(0.05))


def test_more_trials_cut_the_extreme_ratios_off() -> None:
    timed = [1 + trial / 1000 for trial in range(20)]
    found = overhead(timed, [1.0, 1.0, 1.0])
    assert found is not None
    assert found.low is not None
    assert 0.0 < found.low < found.fraction


@pytest.mark.parametrize(("timed", "bare"), [([], [1.0]), ([1.0], []), ([0.0], [1.0])])
def test_overhead_needs_both_kinds_of_trials(timed: list[float], bare: list[float]) -> None:
    assert overhead(timed, bare) is None


def test_the_interval_of_the_overhead_covers_it_nineteen_times_of_twenty() -> None:
    draw, covered, runs = random.Random(7), 0, 2000
    for _ in range(runs):
        timed = [1.01 * math.exp(0.01 * draw.gauss(0, 1)) for _ in range(8)]
        bare = [math.exp(0.01 * draw.gauss(0, 1)) for _ in range(3)]
        found = overhead(timed, bare)
        assert found is not None
        assert found.low is not None
        assert found.high is not None
        covered += found.low <= 0.01 <= found.high
    assert 0.94 <= covered / runs <= 0.985


@given(st.lists(_TIMES, min_size=1, max_size=12), st.lists(_TIMES, min_size=1, max_size=4))
def test_the_overhead_lies_in_its_interval(timed: list[float], bare: list[float]) -> None:
    found = overhead(timed, bare)
    assert found is not None
    if found.low is not None and found.high is not None:
        assert found.low <= found.fraction + 1e-12
        assert found.fraction <= found.high + 1e-12
