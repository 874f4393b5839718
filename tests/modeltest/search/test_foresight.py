from math import exp, log
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modeltest.search.foresight import can_hardly_exceed, can_hardly_pass, is_hopeless
from modeltest.search.sequential_test import PRIOR, Spread, interval

_KNOWN = Spread(30 * 0.02**2, 30)
"""A scatter of 2 %, known from 30 trials elsewhere."""


@pytest.mark.parametrize(
    ("latencies_ms", "hopeless"),
    [
        ([100.0, 100.0], False),  # two trials of seven: the mean may still move far
        ([98.0, 102.0, 98.0, 102.0, 100.0], True),  # the limit in the very middle
        ([96.0, 98.0, 96.0, 98.0], False),  # 3 % below: the interval will be narrower than that
        ([102.0, 104.0, 102.0, 104.0], False),
        ([99.0, 101.0] * 3 + [99.0], True),  # none is left
    ],
)
def test_trials_end_where_the_rest_can_hardly_decide(latencies_ms: list[float], hopeless: bool) -> None:
    elsewhere = Spread(30 * 0.02**2, 30)
    left = 7 - len(latencies_ms)
    assert is_hopeless(latencies_ms, elsewhere, limit_ms=100.0, trials_left=left) is hopeless


def test_nothing_is_hopeless_before_the_first_trial() -> None:
    assert not is_hopeless([], PRIOR, limit_ms=100.0, trials_left=7)


def test_what_is_called_hopeless_is_seldom_decided_after_all() -> None:
    """Of 2,000 batch sizes at the limit or near it, with 2 % scatter known from 30 trials elsewhere."""
    draw = Random(0)
    elsewhere, given_up, decided = Spread(30 * 0.02**2, 30), 0, 0
    for number in range(2000):
        mean = log(100) + 0.02 * (number % 9 - 4) / 4
        trials = [exp(draw.gauss(mean, 0.02)) for _ in range(7)]
        if any(is_hopeless(trials[:n], elsewhere, limit_ms=100.0, trials_left=7 - n) for n in range(2, 7)):
            given_up += 1
            where = interval(trials, elsewhere)
            decided += not where.low_ms <= 100 <= where.high_ms
    assert given_up > 200
    assert decided / given_up < 0.01


@pytest.mark.parametrize(
    ("latencies_ms", "given_up"),
    [
        ([104.0, 106.0], True),  # whether it exceeds the limit may be open, but it will not pass
        ([101.0, 102.0, 103.0, 102.0], True),
        ([100.0, 101.0], False),  # two trials: the mean may still move far
        ([96.0, 98.0, 96.0, 98.0], False),
    ],
)
def test_a_mean_above_the_limit_hardly_passes(latencies_ms: list[float], given_up: bool) -> None:
    left = 7 - len(latencies_ms)
    assert can_hardly_pass(latencies_ms, _KNOWN, limit_ms=100.0, trials_left=left) is given_up


@given(st.lists(st.floats(80, 120), max_size=6), st.integers(0, 5))
def test_what_is_hopeless_can_hardly_pass_either(latencies_ms: list[float], left: int) -> None:
    both = [
        foresee(latencies_ms, PRIOR, limit_ms=100.0, trials_left=left)
        for foresee in (is_hopeless, can_hardly_pass)
    ]
    assert both[0] <= both[1]


def test_what_can_hardly_pass_passes_in_less_than_one_case_of_two_hundred() -> None:
    draw = Random(0)
    given_up, passed = 0, 0
    for number in range(3000):
        mean = log(100) + 0.02 * (number % 9 - 4) / 4
        trials = [exp(draw.gauss(mean, 0.02)) for _ in range(7)]
        if any(can_hardly_pass(trials[:n], _KNOWN, limit_ms=100.0, trials_left=7 - n) for n in range(2, 7)):
            given_up += 1
            passed += interval(trials, _KNOWN).high_ms <= 100
    assert given_up > 1000
    assert passed / given_up < 0.005


@pytest.mark.parametrize(
    ("above_ms", "below_ms", "lost"),
    [
        ([97.0], [97.0, 98.0, 97.0, 98.0, 97.0], True),  # the limit is 1.2 scatters away
        ([97.0], [101.0, 102.0, 101.0, 102.0, 101.0], False),  # the line says that it is over the limit
        ([105.0], [97.0, 98.0, 97.0, 98.0, 97.0], False),  # there is a step that the line did not foresee
        ([], [97.0, 98.0, 97.0, 98.0, 97.0], False),  # nothing tells whether there is one
        ([97.0], [], False),
    ],
)
def test_a_batch_like_one_that_passes_can_hardly_exceed(
    above_ms: list[float], below_ms: list[float], lost: bool
) -> None:
    assert can_hardly_exceed(above_ms, below_ms, _KNOWN, limit_ms=100.0, most_trials=7) is lost


def test_what_can_hardly_exceed_does_in_less_than_one_case_of_two_hundred() -> None:
    draw = Random(0)
    lost, exceeded = 0, 0
    for number in range(3000):
        mean = log(100) + 0.02 * (number % 9 - 6) / 4
        below = [exp(draw.gauss(mean, 0.02)) for _ in range(5)]
        above = [exp(draw.gauss(mean, 0.02)) for _ in range(7)]
        if can_hardly_exceed(above[:1], below, _KNOWN, limit_ms=100.0, most_trials=7):
            lost += 1
            exceeded += interval(above, _KNOWN).low_ms > 100
    assert lost > 1000
    assert exceeded / lost < 0.005
