import math
import random
import statistics
from collections.abc import Callable

import pandas
import pytest
from hypothesis import given
from hypothesis import strategies as st

from modeltest.api import Distribution
from modeltest.statistics import (
    Interval,
    distribution,
    median_interval,
    percentile,
    proportion,
    relative_half_width,
)

_FLOATS = st.floats(min_value=-1e6, max_value=1e6, allow_nan=False)


def test_proportion_of_half_has_the_textbook_error_and_interval() -> None:
    half = proportion(50, 100)
    assert half.accuracy == 0.5
    assert half.standard_error == pytest.approx(0.05)
    # Wilson for 50 of 100: centre 0.5, half width 1.96 / (1 + 1.96^2 / 100) * sqrt(0.0025 + 1.96^2 / 40000)
    assert half.low == pytest.approx(0.403832, abs=1e-6)
    assert half.high == pytest.approx(0.596168, abs=1e-6)


def test_proportion_agrees_with_a_published_wilson_interval() -> None:
    # Newcombe, Statistics in Medicine 17 (1998), table I: 81 of 263 and 15 of 148.
    assert proportion(81, 263).low == pytest.approx(0.2553, abs=5e-5)
    assert proportion(81, 263).high == pytest.approx(0.3662, abs=5e-5)
    assert proportion(15, 148).low == pytest.approx(0.0624, abs=5e-5)
    assert proportion(15, 148).high == pytest.approx(0.1605, abs=5e-5)


def test_proportion_of_nothing_is_unknown_not_zero() -> None:
    nothing = proportion(0, 0)
    assert (nothing.accuracy, nothing.standard_error, nothing.low, nothing.high) == (None, None, None, None)
    assert (nothing.correct, nothing.total) == (0, 0)


def test_proportion_of_none_right_still_has_a_width() -> None:
    none_right = proportion(0, 10)
    assert none_right.low == 0.0
    assert none_right.high == pytest.approx(0.277533, abs=1e-6)
    assert none_right.standard_error == 0.0


@pytest.mark.parametrize(("correct", "total"), [(-1, 5), (6, 5), (1, 0)])
def test_proportion_refuses_counts_that_cannot_be(correct: int, total: int) -> None:
    with pytest.raises(ValueError, match=f"0..{total}"):
        proportion(correct, total)


@given(st.integers(1, 10**6).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_interval_holds_the_accuracy_and_mirrors(counts: tuple[int, int]) -> None:
    correct, total = counts
    found, mirrored = proportion(correct, total), proportion(total - correct, total)
    assert found.low is not None
    assert found.high is not None
    assert found.accuracy is not None
    assert 0.0 <= found.low <= found.accuracy <= found.high <= 1.0
    assert mirrored.low == pytest.approx(1 - found.high, abs=1e-9)


@given(st.integers(1, 500))
def test_interval_narrows_with_more_questions(total: int) -> None:
    few, many = proportion(total, 2 * total), proportion(4 * total, 8 * total)
    assert many.high - many.low < few.high - few.low  # type: ignore[operator]


def test_distribution_of_known_numbers() -> None:
    found = distribution([2.0, 4.0, 4.0, 4.0, 5.0, 5.0, 7.0, 9.0])
    assert found.n == 8
    assert found.median == 4.5
    assert found.mean == 5.0
    assert found.sd == pytest.approx(math.sqrt(32 / 7))  # squares 9 1 1 1 0 0 4 16, over n - 1
    assert found.cv == pytest.approx(math.sqrt(32 / 7) / 5)
    assert found.mad == 0.5  # distances 2.5 .5 .5 .5 .5 .5 2.5 4.5
    assert (found.minimum, found.maximum) == (2.0, 9.0)


def test_one_value_has_no_spread() -> None:
    one = distribution([3.0])
    assert (one.median, one.mean, one.mad) == (3.0, 3.0, 0.0)
    assert one.sd is None
    assert one.cv is None


def test_no_values_are_unknown_throughout() -> None:
    nothing = distribution([])
    assert nothing.n == 0
    assert {nothing.median, nothing.mean, nothing.sd, nothing.cv, nothing.mad, nothing.minimum} == {None}


def test_cv_is_undefined_around_zero() -> None:
    found = distribution([-1.0, 1.0])
    assert found.sd == pytest.approx(math.sqrt(2))
    assert found.cv is None


@given(st.lists(_FLOATS, min_size=2, max_size=30))
def test_distribution_is_ordered_and_agrees_with_the_definition(values: list[float]) -> None:
    found = distribution(values)
    assert found.minimum is not None
    assert found.median is not None
    assert found.maximum is not None
    assert found.minimum <= found.median <= found.maximum
    assert found.median == statistics.median(sorted(values))
    mean = math.fsum(values) / len(values)
    variance = math.fsum((value - mean) ** 2 for value in values) / (len(values) - 1)
    assert found.sd == pytest.approx(math.sqrt(variance), rel=1e-6, abs=1e-6)


@given(st.lists(_FLOATS, min_size=1, max_size=30), st.randoms())
def test_order_of_trials_does_not_matter(values: list[float], random: object) -> None:
    shuffled = sorted(values, key=lambda _: random.random())  # type: ignore[attr-defined]
    assert distribution(shuffled) == distribution(values)


def test_too_few_trials_have_no_interval() -> None:
    for values in ([], [1.0], [1.0, 2.0]):
        assert median_interval(values) is None
        assert distribution(values).low is None


def test_the_interval_of_three_trials_is_student_s() -> None:
    found = median_interval([9.0, 10.0, 11.0])  # sd 1
    half = 4.302653 * math.sqrt(math.pi / 2) / math.sqrt(3)
    assert found == Interval(pytest.approx(10 - half), pytest.approx(10 + half))


def test_the_interval_of_times_ends_at_zero() -> None:
    found = median_interval([1.0, 2.0, 9.0])
    assert found is not None
    assert (found.low, found.high > 9) == (0.0, True)
    signed = median_interval([-1.0, 2.0, 9.0])
    assert signed is not None
    assert signed.low < -1


def test_the_interval_of_six_trials_is_interpolated_between_the_outer_two() -> None:
    # From first to last 31 of 32, from second to last but one 25 of 32: 95 % lies 0.357 of the way inwards,
    # (6 - 1) 0.1 / (1 + 4 x 0.1) with 0.1 = (0.96875 - 0.95) / (0.96875 - 0.78125).
    found = median_interval([1.0, 2.0, 3.0, 4.0, 5.0, 6.0])
    assert found == Interval(pytest.approx(1 + 5 / 14), pytest.approx(6 - 5 / 14))


def test_one_slow_trial_of_twenty_does_not_widen_the_interval() -> None:
    steady = [100.0 + trial / 10 for trial in range(20)]
    assert median_interval(steady) == median_interval([*steady[:-1], 500.0])


_SHAPES: dict[str, tuple[Callable[[random.Random], float], float]] = {
    "normal": (lambda draw: draw.gauss(10, 1), 10.0),
    "skewed": (lambda draw: math.exp(draw.gauss(0, 0.5)), 1.0),
    "heavy tails": (lambda draw: draw.choice((-1, 1)) * draw.expovariate(1), 0.0),
}


@pytest.mark.parametrize("shape", list(_SHAPES))
@pytest.mark.parametrize("n", [3, 4, 5, 6, 7, 8, 10, 13, 16, 20])
def test_the_interval_covers_the_true_median_nineteen_times_of_twenty(n: int, shape: str) -> None:
    sample, truth = _SHAPES[shape]
    draw, runs = random.Random(1000 + n), 1500
    covered = 0
    for _ in range(runs):
        found = median_interval([sample(draw) for _ in range(n)])
        assert found is not None
        covered += found.low <= truth <= found.high
    assert covered / runs >= 0.935  # 0.95 less 2.7 standard errors of 1500 draws


@given(st.lists(_FLOATS, min_size=6, max_size=40))
def test_the_interval_holds_the_median_and_lies_among_the_values(values: list[float]) -> None:
    found = median_interval(values)
    assert found is not None
    assert min(values) <= found.low <= statistics.median(values) <= found.high <= max(values)


@given(st.integers(6, 60))
def test_the_interval_narrows_with_more_trials(n: int) -> None:
    few, many = (median_interval([trial / (count - 1) for trial in range(count)]) for count in (n, 4 * n))
    assert few is not None
    assert many is not None
    assert many.high - many.low < few.high - few.low


def test_equal_trials_have_an_interval_without_width() -> None:
    for n in (3, 6, 20):
        found = distribution([0.1] * n)
        assert (found.low, found.high) == (0.1, 0.1)
        assert relative_half_width(found) == 0.0


def test_the_half_width_is_a_fraction_of_the_median() -> None:
    assert relative_half_width(Distribution(6, 10.0, *[None] * 6, low=9.8, high=10.4)) == pytest.approx(0.03)
    assert relative_half_width(distribution([1.0, 2.0])) is None
    assert relative_half_width(distribution([0.0] * 6)) is None


@pytest.mark.parametrize(("fraction", "n"), [(0.90, 44), (0.95, 90), (0.99, 459)])
def test_a_percentile_is_told_from_the_number_of_trials_on_that_supports_it(fraction: float, n: int) -> None:
    values = [float(trial) for trial in range(n)]
    assert percentile(values[1:], fraction) is None
    assert percentile(values, fraction) == pytest.approx(fraction * (n - 1))


def test_percentiles_of_a_distribution_are_those_of_pandas() -> None:
    draw = random.Random(0)
    values = [draw.expovariate(1) for _ in range(459)]
    found = distribution(values)
    series = pandas.Series(values)
    for name, fraction in (("p90", 0.90), ("p95", 0.95), ("p99", 0.99)):
        assert getattr(found, name) == pytest.approx(series.quantile(fraction), rel=1e-12)
