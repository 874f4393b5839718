import pytest

from reports.page.formats import UNKNOWN, count, data_size, duration, or_dash, percent, short, significant


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0, "0"),
        (1234.6, "1,235"),
        (12.345, "12.35"),
        (9.99999, "10.000"),
        (0.012345, "0.01235"),
        (-3.14159, "-3.142"),
        (123456.7, "123,500"),
    ],
)
def test_numbers_keep_four_digits_that_matter(number, text):
    assert significant(number) == text


@pytest.mark.parametrize(
    ("size_bytes", "text"),
    [(0, "0 B"), (1023, "1023 B"), (1024, "1.00 KiB"), (1536 * 1024**2, "1.50 GiB"), (2**53, "8,190 TiB")],
)
def test_sizes_are_in_binary_units(size_bytes, text):
    assert data_size(size_bytes) == text


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.41234, "0.412 s"), (75.31, "75.3 s"), (600, "10 min"), (7500, "2 h 05 min")]
)
def test_durations_are_said_as_people_say_them(seconds, text):
    assert duration(seconds) == text


def test_fractions_are_percent_and_counts_are_grouped():
    assert percent(0.253367) == "25.34 %"
    assert percent(0.25, 0) == "25 %"
    assert count(14042) == "14,042"
    assert short("0123456789abcdef") == "0123456789ab"


@pytest.mark.parametrize("form", [percent, count, significant, data_size, duration, short, or_dash])
def test_unknown_is_a_dash_and_never_zero(form):
    assert form(None) == UNKNOWN
