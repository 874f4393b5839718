from statistics import NormalDist

import pytest

from modeltest.api import CalibratedTolerance, Case
from modeltest.compare.slowdown import slowdown_p_value
from modeltest.search.student_t import t_probability


def known(deviation, sessions=6):
    return CalibratedTolerance(Case(8, 8), 1, "tpot_ms", sessions, deviation, 1.0, 0.05)


def p_value(before, after, *, tolerance=0.05, calibrated=None):
    return slowdown_p_value(before, after, tolerance=tolerance, calibrated=calibrated)


def test_of_single_sessions_the_tolerance_is_what_one_in_a_hundred_equal_ones_exceeds():
    assert p_value([[10.0]], [[10.5]]) == pytest.approx(0.01)
    assert p_value([[10.0]], [[11.025]]) == pytest.approx(NormalDist().cdf(-2 * 2.3263), rel=1e-3)
    assert p_value([[10.5]], [[10.0]]) == pytest.approx(0.99)


def test_several_sessions_tell_themselves_how_much_they_differ():
    e = 2.718281828459045
    found = p_value([[1.0], [e**0.02]], [[e**0.1], [e**0.12]])
    assert found == pytest.approx(1 - t_probability(0.1 / 0.0141421, 2), rel=1e-3)


def test_a_calibration_says_how_much_sessions_differ_and_how_well_that_is_known():
    assert p_value([[10.0]], [[10.5]], calibrated=known(0.0345)) == pytest.approx(
        t_probability(-1.0, 5), rel=1e-2
    )


def test_trials_of_a_session_count_by_their_median():
    assert p_value([[10.0, 10.0, 99.0]], [[10.5, 1.0, 10.5]]) == pytest.approx(0.01)


def test_sessions_that_repeat_themselves_exactly_leave_no_doubt():
    assert p_value([[10.0]] * 3, [[12.0]] * 3) == 0.0
    assert p_value([[10.0]] * 3, [[10.0]] * 3) == 1.0


def test_a_time_of_nothing_says_nothing():
    assert p_value([[10.0]], [[0.0]]) == 1.0
