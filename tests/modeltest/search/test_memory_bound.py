import pytest

from modeltest.search.memory_bound import largest_that_fits


def test_two_peaks_say_what_a_row_takes() -> None:
    assert largest_that_fits({1: 110, 4: 140}, 1110) == 101  # 100 and 10 a row
    assert largest_that_fits({1: 110, 4: 140}, 1109) == 100


def test_the_line_goes_through_the_largest_two_that_are_apart() -> None:
    # An allocator that held 500 back hides what the small ones take.
    assert largest_that_fits({1: 500, 4: 500, 64: 740, 128: 1380}, 2380) == 228
    assert largest_that_fits({64: 740, 128: 1380, 129: 1380}, 2380) == 230  # 129 is too close to 128


def test_what_was_measured_fits_whatever_the_line_says() -> None:
    assert largest_that_fits({1: 110, 4: 140}, 120) == 4


@pytest.mark.parametrize(
    ("peaks", "limit"),
    [
        ({1: 110, 4: 140}, None),
        ({}, 100),
        ({4: 140}, 1000),
        ({1: 140, 4: 140}, 1000),
        ({1: 140, 4: 130}, 1000),
    ],
)
def test_nothing_is_said_without_a_limit_or_a_rising_line(peaks: dict[int, int], limit: int | None) -> None:
    assert largest_that_fits(peaks, limit) is None
