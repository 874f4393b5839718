from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modeltest.api import Compared, Mark
from modeltest.dashboard.chain import Link, compare_chain


def by_value(values):
    """Compare runs by their values: 5 % more is worse, 5 % less is better; 0 is of another protocol."""

    def compare(reference: int, candidate: int) -> Compared:
        before, after = values[reference], values[candidate]
        if (before == 0) != (after == 0):
            return Compared(Mark.UNCOMPARED, note="not comparable")
        if after > before * 1.05:
            return Compared(Mark.REGRESSION)
        return Compared(Mark.IMPROVEMENT if after < before * 0.95 else Mark.STEADY)

    return compare


def marks(values, links=None) -> str:
    links = links or [Link(run) for run in range(len(values))]
    return "".join(found.mark.value[0] for found in compare_chain(links, by_value(values)))


def references(values):
    return [
        found.reference
        for found in compare_chain([Link(run) for run in range(len(values))], by_value(values))
    ]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([100], "u"),
        ([100, 101, 99], "uss"),
        ([100, 110, 110, 100], "urrs"),
        ([100, 90, 90, 100], "uisr"),
        ([100, 103, 106, 109], "usrr"),
        ([100, 0, 0, 100], "uusu"),
    ],
)
def test_marks_by_hand(values, expected):
    assert marks(values) == expected


def test_the_reference_stays_until_one_is_better_or_not_comparable():
    assert references([100, 110, 90, 95, 0, 0]) == [None, 0, 0, 2, 2, 4]


def test_a_slow_change_in_small_steps_is_noticed():
    values = [100 * 1.02**night for night in range(6)]
    assert marks(values) == "ussrrr"


def test_an_accepted_run_is_the_reference_though_it_is_worse():
    links = [Link(0), Link(1), Link(2, is_accepted=True), Link(3)]
    assert marks([100, 120, 120, 121], links) == "urrs"


def test_a_run_that_may_not_be_used_is_neither_compared_nor_a_reference():
    links = [Link(0, is_usable=False), Link(1), Link(2, is_usable=False), Link(3)]
    assert marks([50, 100, 10, 100], links) == "uuus"


@given(st.lists(st.integers(1, 200), min_size=1, max_size=30))
def test_each_run_is_compared_once_with_an_earlier_one(values):
    found = list(compare_chain([Link(run) for run in range(len(values))], by_value(values)))
    assert len(found) == len(values)
    assert found[0].reference is None
    assert all(each.reference < run for run, each in enumerate(found) if run)


@given(st.lists(st.integers(1, 200), min_size=2, max_size=30))
def test_no_reference_is_worse_than_the_one_before_it(values):
    used = [reference for reference in references(values) if reference is not None]
    assert all(values[later] <= values[earlier] for earlier, later in pairwise(used))


def test_a10_a_noisy_run_is_the_reference_only_until_one_is_valid():
    links = [
        Link(0, is_valid=False),
        Link(1, is_valid=False),
        Link(2),
        Link(3),
        Link(4, is_valid=False),
        Link(5),
    ]
    found = compare_chain(links, by_value([100] * 6))
    assert [each.reference for each in found] == [None, 0, 0, 2, 2, 2]
