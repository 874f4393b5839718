"""Which questions belong together, from what a pack says."""

import pytest

from modeltest.sequential import DropStrata, Known, Stratum, drop_strata, least_drop, margin_cut, stratum_of


@pytest.mark.parametrize(
    ("limit", "population", "fewest"),
    [
        (0.005, 14_042, 71),  # 70.21
        (0.005, 14_000, 70),
        (0.07, 100, 7),  # 7.000000000000001 in binary
        (0.001, 100, 1),
        (0.0, 100, 1),
    ],
)
def test_the_fewest_lost_answers_that_make_the_drop(limit, population, fewest):
    assert least_drop(limit, population) == fewest


@pytest.mark.parametrize(
    ("margin", "correct", "stratum"),
    [
        (0.1, True, Stratum.NEAR),
        (0.1, False, Stratum.NEAR),
        (0.3, True, Stratum.NEAR),
        (0.31, True, Stratum.REST),
        (0.31, False, Stratum.SPARE),
        (None, True, Stratum.NEAR),
    ],
)
def test_a_question_belongs_by_its_margin_and_the_reference_s_answer(margin, correct, stratum):
    assert stratum_of(Known("q", margin, correct), cut=0.3) is stratum


def test_the_cut_is_twice_the_widest_margin_that_rounding_flipped():
    assert margin_cut([0.05, 0.2], least=0.1) == 0.4
    assert margin_cut([0.01], least=0.1) == 0.1
    assert margin_cut([], least=0.3) == 0.3


def test_strata_are_counted():
    questions = [Known(str(n), n / 10, n % 2 == 0) for n in range(10)]
    assert drop_strata(questions, cut=0.25, limit=0.15) == DropStrata(3, 3, 4, least_drop=2)
    assert drop_strata(questions, cut=0.25, limit=0.15).population == 10


@pytest.mark.parametrize("wrong", [(-1, 3, 3, 1), (3, 3, 3, 0)])
def test_strata_without_sense_are_refused(wrong):
    with pytest.raises(ValueError, match="no stratum is smaller than 0"):
        DropStrata(*wrong)
