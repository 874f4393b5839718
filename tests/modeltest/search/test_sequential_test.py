from math import exp, log, sqrt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modeltest.search.sequential_test import (
    NO_SPREAD,
    PRIOR,
    Spread,
    half_width,
    interval,
    may_be_disturbed,
    pool,
    spread,
    undisturbed,
)
from modeltest.search.student_t import t_quantile

_LATENCIES = st.lists(st.floats(1, 1000), min_size=1, max_size=7)


def test_one_trial_is_as_uncertain_as_the_prior_says() -> None:
    found = interval([50.0], pool([]))
    assert found.mean_ms == pytest.approx(50)
    assert found.high_ms == pytest.approx(50 * exp(6.965 * 0.01), rel=1e-4)  # 2 degrees of freedom, 1 %
    assert found.low_ms == pytest.approx(50 / exp(6.965 * 0.01), rel=1e-4)


def test_the_interval_is_that_of_student_on_logarithms() -> None:
    # logs 0 and 2d around d: squares 2 d^2 with 1 degree of freedom, and the prior's 0.0002 with 2
    d = 0.01
    found = interval([100.0, 100.0 * exp(2 * d)], pool([]))
    error = sqrt((2 * d**2 + 0.0002) / 3 / 2)
    assert log(found.mean_ms / 100) == pytest.approx(d)
    assert log(found.high_ms / found.mean_ms) == pytest.approx(t_quantile(0.99, 3) * error)


def test_the_trials_of_other_batch_sizes_narrow_the_interval() -> None:
    other = spread([10.0, 10.01, 9.99, 10.0, 10.02])
    alone, pooled = interval([50.0], pool([])), interval([50.0], pool([other, other]))
    assert pooled.high_ms - pooled.mean_ms < (alone.high_ms - alone.mean_ms) / 3


def test_a_surer_end_lies_farther_out() -> None:
    strict = interval([50.0, 50.5], pool([]), high=0.999)
    usual = interval([50.0, 50.5], pool([]))
    assert strict.high_ms > usual.high_ms
    assert strict.low_ms == usual.low_ms


def test_one_disturbed_trial_of_five_is_set_aside() -> None:
    assert list(undisturbed([50.0, 50.2, 90.0, 49.9, 50.1])) == [49.9, 50.0, 50.1, 50.2]
    found = interval([50.0, 50.2, 90.0, 49.9, 50.1], pool([]))
    assert found.disturbed == 1
    assert found.high_ms < 51


@pytest.mark.parametrize(
    "kept",
    [
        [50.0, 50.2, 90.0, 49.9],  # too few to tell
        [50.0, 50.2, 51.0, 49.9, 50.1],  # not 5 % slower
        [50.0, 60.0, 90.0, 40.0, 55.0],  # all of them scatter so
        [50.0, 50.2, 20.0, 49.9, 50.1],  # nothing disturbs a trial into being fast
    ],
)
def test_no_other_trial_is_set_aside(kept: list[float]) -> None:
    assert undisturbed(kept) == kept


@pytest.mark.parametrize(
    ("latencies_ms", "suspect"),
    [
        ([50.0, 50.2, 54.0], True),
        ([50.0, 54.0], True),
        ([50.0, 50.2, 51.0], False),  # not 5 % slower
        ([54.0], False),
        ([50.0, 50.2, 54.0, 49.9, 50.1], False),  # enough to set it aside
    ],
)
def test_a_slow_trial_among_few_is_not_trusted(latencies_ms: list[float], suspect: bool) -> None:
    assert may_be_disturbed(latencies_ms, Spread(30 * 0.01**2, 30)) is suspect
    assert not may_be_disturbed(latencies_ms, Spread(30 * 0.05**2, 30)), "where all trials scatter so"


def test_one_batch_size_scattered_by_a_disturbance_does_not_spoil_the_others() -> None:
    calm = spread([10.0, 10.1, 9.9, 10.0])
    wild = spread([10.0, 20.0])
    assert pool([calm, wild, calm]).variance < 4 * pool([calm, calm]).variance


def test_the_pool_holds_the_prior_and_every_degree_of_freedom() -> None:
    assert pool([]) == PRIOR
    found = pool([Spread(0.0003, 3), NO_SPREAD, Spread(0.0004, 4)])
    assert found.freedom == 9
    assert found.squares == pytest.approx(0.0009)


def test_the_half_width_to_expect_shrinks_with_the_trials() -> None:
    widths = [half_width(PRIOR, trials, confidence=0.99) for trials in (1, 2, 5, 7)]
    assert widths == sorted(widths, reverse=True)
    assert widths[0] == pytest.approx(0.06965, rel=1e-3)


@given(_LATENCIES, st.lists(_LATENCIES, max_size=5))
def test_the_mean_lies_inside_and_no_bound_is_lost(latencies: list[float], others: list[list[float]]) -> None:
    found = interval(latencies, pool(map(spread, others)))
    assert 0 < found.low_ms < found.mean_ms < found.high_ms


@given(_LATENCIES, st.floats(0.1, 10))
def test_milliseconds_or_seconds_make_no_difference(latencies: list[float], factor: float) -> None:
    found = interval(latencies, PRIOR)
    scaled = interval([factor * each for each in latencies], PRIOR)
    assert scaled.high_ms == pytest.approx(factor * found.high_ms)
