"""What is summed at one place, with numbers that can be computed by hand."""

import pytest

from modeltest.locate.evidence import LEAST_FLOOR, MOST, Gathering
from modeltest.locate.stations import Part, Station

torch = pytest.importorskip("torch")
UNIT = 2.0**-8
SIGNS = (1.0, -1.0)


def gathered(truth, twin, candidate, *, unit=UNIT, **changes):
    gathering = Gathering(Station("here", 3, Part.NORM))
    gathering.add(truth, [twin], candidate, changes, unit)
    return gathering.evidence()


def ones():
    return torch.ones(4, 8)


def alternating(size):
    return torch.tensor(SIGNS * 16).reshape(4, 8) * size


def slope(evidence, change):
    (found,) = [each for each in evidence.slopes if each.change == change]
    return found


def test_the_excess_is_the_ratio_of_errors():
    evidence = gathered(ones(), ones() + alternating(0.01), ones() - alternating(0.03))
    assert evidence.excess == pytest.approx(3.0, rel=1e-5)


def test_an_equal_candidate_has_the_error_of_the_twin_and_no_direction():
    twin = ones() + alternating(0.01)
    evidence = gathered(ones(), twin, twin.clone())
    assert evidence.excess == pytest.approx(1.0)
    assert slope(evidence, "size").coefficient == 0


def test_a_twin_without_error_counts_as_a_quarter_of_a_roundoff():
    evidence = gathered(ones(), ones(), ones() + alternating(UNIT))
    assert evidence.excess == pytest.approx(1 / LEAST_FLOOR, rel=1e-5)


def test_several_orders_of_the_twin_count_by_their_largest_error():
    gathering = Gathering(Station("here", 3, Part.NORM))
    twins = [ones() + alternating(0.01), ones() + alternating(0.04)]
    gathering.add(ones(), twins, ones() - alternating(0.04), {}, UNIT)
    assert gathering.evidence().excess == pytest.approx(1.0, rel=1e-5)


def test_a_deviation_along_a_change_is_told_in_units_of_it():
    change = alternating(2.0)
    twin = ones() + alternating(0.1).flip(0).roll(1, 1)
    evidence = gathered(ones(), twin, twin + 0.25 * change, other=change)
    found = slope(evidence, "other")
    assert found.coefficient == pytest.approx(0.25, rel=1e-5)
    assert found.significance > 100
    assert found.share == pytest.approx(0.25 * 2.0 / 0.1, rel=1e-5)


def test_scatter_makes_a_coefficient_uncertain():
    deviation = torch.tensor([[0.1], [-0.1], [0.1], [-0.08]]) * torch.ones(4, 8)
    evidence = gathered(ones(), ones() + alternating(0.1), ones() + alternating(0.1) + deviation)
    # Over four rows: mean 0.005, root of the sum of squares around it 0.1897, so 0.005 / (0.1897 / 4).
    assert slope(evidence, "size").significance == pytest.approx(0.1054, rel=1e-2)


def test_a_large_channel_hides_no_other():
    truth = ones()
    truth[:, 0] = 1e4
    rounded = truth * (1 + UNIT / 2)
    wrong = rounded.clone()
    wrong[:, 1:] = truth[:, 1:] * 1.1
    assert gathered(truth, rounded, wrong).excess > 10


def test_what_is_not_a_number_departs_as_far_as_can_be():
    broken = ones()
    broken[2, 2] = float("nan")
    assert gathered(ones(), ones() + alternating(0.01), broken).excess == MOST


def test_other_token_ids_depart_and_equal_ones_do_not():
    ids = torch.arange(6)[None]
    assert gathered(ids, ids, ids.clone(), unit=0.0).excess == 1.0
    assert gathered(ids, ids, ids + 1, unit=0.0).excess == MOST


def test_a_single_wrong_value_is_told_by_the_peak():
    twin = ones() + alternating(0.01)
    wrong = twin.clone()
    wrong[1, 1] = 1.1
    assert gathered(ones(), twin, wrong).peak == pytest.approx(10.0, rel=1e-4)
    assert gathered(ones(), twin, twin.clone()).peak == pytest.approx(1.0)
