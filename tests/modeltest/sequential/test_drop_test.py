"""Non-inferiority with near-ties apart: its cells, its error over all orders, what it asks, and its ends."""

from itertools import permutations, product
from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modeltest.api import Leaning
from modeltest.sequential import PAIRED, DropStrata, DropTest, MeanNull, MeanTest, Stratum
from modeltest.sequential.drop_test import Cell, cells

NEAR, REST, SPARE = Stratum


def taken(test, answers, window=1):
    """Ask as the test allocates, the answers of each stratum in the order given, until it knows."""
    left = {stratum: iter(answers.get(stratum, ())) for stratum in Stratum}
    while test.leaning is Leaning.OPEN:
        ask = test.allocate(window)
        for stratum, count in zip(Stratum, (ask.near, ask.rest, ask.spare), strict=True):
            for _ in range(count):
                test.take(stratum, next(left[stratum]))
    return test


def no_differences(strata):
    return {NEAR: [0] * strata.near, REST: [0] * strata.rest, SPARE: [0] * strata.spare}


@given(st.integers(1, 400))
def test_cells_are_all_of_the_null(limit):
    """Whatever REST lost, some cell allows it together with what NEAR must have lost at least then."""
    parts = list(cells(limit))
    for lost in range(3 * limit):
        near = lost - limit
        assert any((each.near is None or near <= each.near) and -lost <= each.rest for each in parts)


def test_cells_by_hand():
    assert list(cells(2)) == [
        Cell(near=-2, rest=0),
        Cell(near=-1, rest=-1),
        Cell(near=0, rest=-2),
        Cell(near=1, rest=-3),
        Cell(near=None, rest=-4),
    ]


def test_a_limit_of_many_answers_needs_few_cells():
    parts = list(cells(71))
    assert len(parts) < 45
    assert Cell(near=2, rest=-71) in parts, "the limit begins a cell"


@pytest.mark.parametrize("risk", [0.5, 0.2, 0.05])
def test_over_all_orders_a_true_drop_passes_no_more_often_than_the_risk(risk):
    """Every way to lose 2 answers or more in 3 near-ties, 3 others and a spare one, in all orders."""
    strata = DropStrata(3, 3, 1, least_drop=2)
    worst = 0.0
    for near in ((-1, -1, 0), (-1, -1, 1), (-1, 0, 0), (-1, 0, 1), (0, 0, 0), (0, 0, 1), (0, 1, 1)):
        for lost, won in product(range(4), range(2)):
            if sum(near) - lost + won > -2:
                continue
            rest = [-1] * lost + [0] * (3 - lost)
            orders = list(product(permutations(near), permutations(rest)))
            wrong = 0
            for one, other in orders:
                test = taken(DropTest(strata, risk=risk), {NEAR: one, REST: other, SPARE: [won]})
                wrong += test.leaning is Leaning.PASSED
            worst = max(worst, wrong / len(orders))
    assert worst <= risk


def test_without_near_ties_the_rest_is_tested_alone():
    test = DropTest(DropStrata(0, 400, 200, least_drop=6), risk=0.01)
    taken(test, no_differences(test.strata))
    alone = MeanTest(MeanNull(-6 / 400, 400, -1.0, 0.0), PAIRED, risk=0.01)
    while not alone.is_excluded:
        alone.take(0)
    assert test.path.decided_at == alone.path.decided_at


def test_with_near_ties_alone_it_is_the_plain_test():
    test = DropTest(DropStrata(400, 0, 0, least_drop=6), risk=0.01)
    taken(test, no_differences(test.strata))
    plain = MeanTest(MeanNull(-6 / 400, 400, -1.0, 1.0), PAIRED, risk=0.01)
    while not plain.is_excluded:
        plain.take(0)
    assert test.path.decided_at == plain.path.decided_at


def test_fewer_questions_are_asked_than_without_what_is_known():
    """1,400 questions of which 900 were right; nothing differs; 14 lost answers are too many."""
    test = taken(
        DropTest(DropStrata(280, 700, 420, least_drop=14), risk=0.01),
        no_differences(DropStrata(280, 700, 420, 14)),
    )
    plain = MeanTest(MeanNull(-14 / 1_400, 1_400, -1.0, 1.0), PAIRED, risk=0.01)
    while not plain.is_excluded:
        plain.take(0)
    assert test.leaning is Leaning.PASSED
    assert (test.path.decided_at or inf) < 0.8 * (plain.path.decided_at or 0)
    assert test.taken[SPARE] == 0


def test_near_ties_are_asked_more_densely_where_they_flip():
    strata = DropStrata(280, 700, 420, least_drop=14)
    calm = taken(DropTest(strata, risk=0.01), no_differences(strata))
    flipping = {**no_differences(strata), NEAR: [1, 0, 0, 0, 0, -1, 0, 0, 0, 0] * 28}
    test = taken(DropTest(strata, risk=0.01), flipping)
    assert test.leaning is Leaning.PASSED
    assert test.taken[NEAR] / 280 > 2 * calm.taken[NEAR] / 280
    assert test.taken[NEAR] / 280 > 1.5 * test.taken[REST] / 700


def test_what_was_won_among_spare_questions_decides_exactly_at_the_end():
    strata = DropStrata(2, 4, 4, least_drop=2)
    answers = {NEAR: [-1, 0], REST: [0, 0, -1, 0], SPARE: [0, 0, 1, 0]}
    test = taken(DropTest(strata, risk=1e-9), answers)
    assert test.leaning is Leaning.PASSED
    assert test.is_impossible
    assert test.taken[SPARE] == 3, "2 lost, 1 won: the last cannot be lost"


def test_a_drop_that_nothing_can_make_good_has_failed():
    strata = DropStrata(2, 4, 1, least_drop=2)
    test = DropTest(strata, risk=1e-9)
    for value in (-1, -1):
        test.take(NEAR, value)
    assert test.leaning is Leaning.OPEN
    test.take(REST, -1)
    assert test.is_certain, "3 lost, 1 may be won"
    assert test.leaning is Leaning.FAILED


def test_a_drop_that_the_strata_do_not_allow_is_excluded_without_a_question():
    test = DropTest(DropStrata(2, 4, 100, least_drop=7), risk=1e-9)
    assert (test.leaning, test.path.decided_at) == (Leaning.PASSED, 0)


def test_more_than_there_are_is_not_allocated():
    test = DropTest(DropStrata(2, 3, 4, least_drop=5), risk=1e-9)
    assert test.allocate(100) == test.allocate(5)
    assert test.allocate(5).near == 2
    assert test.allocate(5).rest == 3
    assert test.allocate(5).spare == 0, "only when the others are used up"


@pytest.mark.parametrize(("stratum", "value"), [(REST, 1), (SPARE, -1), (NEAR, 2), (NEAR, -2)])
def test_what_a_stratum_cannot_give_is_refused(stratum, value):
    with pytest.raises(ValueError, match=f"'{stratum.value}' has the value {value}"):
        DropTest(DropStrata(5, 5, 5, 3), risk=0.01).take(stratum, value)


def test_a_stratum_ends():
    test = DropTest(DropStrata(1, 5, 5, 3), risk=0.01)
    test.take(NEAR, 0)
    with pytest.raises(ValueError, match="'near' were taken already"):
        test.take(NEAR, 0)


def test_the_order_in_which_strata_take_turns_leaves_the_evidence_alone():
    strata = DropStrata(50, 100, 30, least_drop=5)
    one, other = DropTest(strata, risk=1e-9), DropTest(strata, risk=1e-9)
    for _ in range(20):
        one.take(NEAR, 0)
    for _ in range(20):
        one.take(REST, 0)
    for _ in range(20):
        other.take(REST, 0)
        other.take(NEAR, 0)
    assert one.path.log_evidence == pytest.approx(other.path.log_evidence)
