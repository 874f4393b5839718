import pytest
from hypothesis import given
from hypothesis import strategies as st

from modeltest.search.latency_fit import Point, fit


def test_points_on_a_line_give_the_line() -> None:
    line = fit([Point(1, 11), Point(4, 14), Point(32, 42)], 50)
    assert line is not None
    assert (line.start_ms, line.slope_ms) == (pytest.approx(10), pytest.approx(1))
    assert line.latency_ms(20) == pytest.approx(30)
    assert line.last_within(50.5) == 40


def test_what_lies_near_the_limit_counts_more() -> None:
    # From 64 rows on a row costs 1 ms; below it costs nothing.
    line = fit([Point(1, 10), Point(8, 10), Point(64, 42), Point(72, 50)], 50)
    assert line is not None
    assert line.last_within(52) == pytest.approx(74, abs=1)


def test_many_trials_count_more_than_one() -> None:
    points = [Point(10, 20, trials=7), Point(20, 30, trials=7), Point(20, 40, trials=0.5)]
    line = fit(points, 30)
    assert line is not None
    assert line.latency_ms(20) < 31


@pytest.mark.parametrize(
    "points",
    [
        [],
        [Point(4, 10)],
        [Point(4, 10), Point(4, 11)],
        [Point(4, 10), Point(8, 9)],
        [Point(4, 9), Point(8, 9)],
    ],
)
def test_what_does_not_rise_is_no_line(points: list[Point]) -> None:
    assert fit(points, 50) is None


def test_a_limit_out_of_all_proportion_leaves_the_line_as_it_is() -> None:
    line = fit([Point(1, 11), Point(4, 14)], 1e9)
    assert line is not None
    assert line.slope_ms == pytest.approx(1)


@given(st.floats(0.1, 100), st.floats(0.01, 10), st.floats(1, 1000))
def test_any_line_is_found_whatever_the_limit(start_ms: float, row_ms: float, limit_ms: float) -> None:
    line = fit([Point(size, start_ms + row_ms * size) for size in (1, 4, 32)], limit_ms)
    assert line is not None
    assert line.slope_ms == pytest.approx(row_ms, rel=1e-4)
