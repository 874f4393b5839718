"""Evidence is kept, combined and compared with its level by numbers that can be computed by hand."""

from math import inf, log, nan

import pytest

from modeltest.sequential import EvidencePath, all_of, any_of
from modeltest.sequential.evidence import log_of_sum


def test_a_path_keeps_its_maximum_and_when_the_level_was_first_reached():
    path = EvidencePath(risk=0.1)
    for capital in (2.0, 10.0, 3.0, 20.0, 1.0):
        path.note(log(capital))
    assert (path.taken, path.decided_at) == (5, 2)
    assert path.log_evidence == 0.0
    assert path.log_maximum == pytest.approx(log(20))


def test_a_path_that_never_reaches_its_level_has_decided_nothing():
    path = EvidencePath(risk=0.1)
    path.note(log(9.99))
    assert path.decided_at is None


def test_the_maximum_of_a_path_that_only_lost_is_what_it_began_with():
    path = EvidencePath(risk=0.1)
    path.note(log(0.5))
    assert path.log_maximum == 0.0


@pytest.mark.parametrize("risk", [0.0, 1.0, -0.1, nan])
def test_a_risk_is_a_probability_between_nothing_and_certainty(risk):
    with pytest.raises(ValueError, match="must lie between 0 and 1"):
        EvidencePath(risk)


def test_evidence_that_is_no_number_is_refused():
    with pytest.raises(ValueError, match="not a number"):
        EvidencePath(0.1).note(nan)


def test_several_against_one_null_are_averaged():
    assert any_of([log(2), log(4)]) == pytest.approx(log(3))
    assert any_of([log(2), log(10)], [0.75, 0.25]) == pytest.approx(log(4))
    assert any_of([-inf, log(4)]) == pytest.approx(log(2))
    assert any_of([0.0, inf], [0.5, 0.5]) == inf
    assert any_of([0.0, inf], [1.0, 0.0]) == 0.0, "what has no weight says nothing"
    assert any_of([1000.0, 0.0]) == pytest.approx(1000 - log(2)), "no overflow"


@pytest.mark.parametrize("weights", [[0.5], [0.7, 0.7], [-0.1, 1.1]])
def test_weights_that_would_make_more_of_the_evidence_are_refused(weights):
    with pytest.raises(ValueError, match="sum to 1 at most"):
        any_of([0.0, 0.0], weights)


def test_against_several_nulls_the_weakest_counts():
    assert all_of([3.0, -1.0, inf]) == -1.0


@pytest.mark.parametrize("combine", [any_of, all_of])
def test_nothing_cannot_be_combined(combine):
    with pytest.raises(ValueError, match="no evidence"):
        combine([])


def test_the_sum_of_nothing_has_the_logarithm_of_zero():
    assert log_of_sum([]) == -inf
    assert log_of_sum([-inf, -inf]) == -inf
