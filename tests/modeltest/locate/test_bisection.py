"""The search for the layer, on errors told by hand."""

import math

import pytest

from modeltest.locate.bisection import (
    LARGEST,
    LEAST_FLOOR,
    MOST_EXCESS,
    CutEvidence,
    bisection,
    most_cuts,
    weighed,
)

LAYERS = 30


def searched(excess, layers=LAYERS):
    """Return what a search comes to where `excess` gives that of each cut, and which cuts it asked."""
    search, asked = bisection(layers), []
    cut = next(search)
    while True:
        asked.append(cut)
        try:
            cut = search.send(CutEvidence(cut, excess(cut), 0.1, 100))
        except StopIteration as ended:
            return ended.value, asked


@pytest.mark.parametrize("layer", range(LAYERS))
def test_a_layer_that_departs_is_found_by_few_cuts(layer):
    found, asked = searched(lambda cut: 5.0 if cut > layer else 1.0)
    assert found.layer == layer
    assert len(asked) <= most_cuts(LAYERS) == 6
    assert {layer + 1} <= set(asked)
    assert layer == 0 or layer in asked  # the neighbour before it is asked, and does not depart
    assert [each.layers for each in found.cuts] == asked


def test_nothing_departs_where_all_is_rounding():
    found, asked = searched(lambda cut: 1.05)
    assert found.layer is None
    assert asked == [30, 15, 22, 7, 26, 18, 11, 3]


@pytest.mark.parametrize("layers", [1, 2, 3])
def test_a_model_of_few_layers_is_searched_too(layers):
    for layer in range(layers):
        assert searched(lambda cut, layer=layer: 3.0 if cut > layer else 1.0, layers)[0].layer == layer
    assert searched(lambda cut: 1.0, layers)[0].layer is None


def test_a_departure_that_rounding_hides_at_the_end_is_found_before_it():
    found, _ = searched(lambda cut: 1.3 if 5 <= cut <= 12 else 1.0)
    assert found.layer == 4


def test_a_small_departure_is_looked_for_before_a_gap_too():
    found, asked = searched(lambda cut: 1.3 if 4 <= cut <= 14 or cut >= 25 else 1.1)
    assert found.layer == 3
    assert 24 in asked


def test_a_large_departure_is_not_looked_for_before_a_gap():
    _, asked = searched(lambda cut: 8.0 if cut >= 25 else 1.0)
    assert len(asked) <= most_cuts(LAYERS)


def test_an_error_is_told_in_times_of_the_twin_furthest_away():
    found = weighed(3, [-1.0, -2.0, -3.0], [[-1.1, -2.1, -3.1], [-1.0, -2.0, -3.3]], [-1.2, -2.3, -3.1])
    assert found.floor == pytest.approx(0.1)
    assert found.excess == pytest.approx(0.2 / 0.1)
    assert (found.layers, found.observations, found.departs) == (3, 3, True)


def test_the_limit_is_what_it_says():
    assert CutEvidence(1, MOST_EXCESS, 0.1, 1).departs
    assert not CutEvidence(1, MOST_EXCESS - 1e-9, 0.1, 1).departs


def test_twins_that_are_exact_leave_room_for_another_sum():
    assert not weighed(1, [-1.0], [[-1.0]], [-1.0 - LEAST_FLOOR]).departs
    assert weighed(1, [-1.0], [[-1.0]], [-1.0 - 2 * LEAST_FLOOR]).departs


@pytest.mark.parametrize("told", [math.nan, -math.inf, -1e9])
def test_what_is_no_number_is_far_away_and_no_further(told):
    assert weighed(1, [-1.0], [[-2.0]], [told]).excess == LARGEST


@pytest.mark.parametrize(
    ("reference", "twins", "candidate"),
    [([], [[]], []), ([-1.0], [], [-1.0]), ([-1.0], [[-1.0, -2.0]], [-1.0]), ([-1.0], [[-1.0]], [])],
)
def test_other_tokens_are_refused(reference, twins, candidate):
    with pytest.raises(ValueError, match="same tokens"):
        weighed(1, reference, twins, candidate)
