"""The figures of docs/rounding.md, by numbers that can be computed by hand."""

from math import log

import pytest
from roundings.figures import apart, drawn_means, mean_bound


def logs(*probabilities):
    return tuple(map(log, probabilities))


def test_two_ways_are_as_far_apart_as_their_choices():
    found = apart({"a": logs(0.5, 0.5), "b": logs(0.8, 0.2)}, {"a": logs(0.25, 0.75), "b": logs(0.8, 0.2)})
    assert found.shift == pytest.approx(log(2)), "of 0.5 to 0.25"
    assert found.moved == pytest.approx(log(3)), "from a ratio of 1 to one of 3"
    assert found.divergences == pytest.approx((0.5 * log(2) + 0.5 * log(2 / 3), 0.0))


def test_choices_are_scaled_to_a_sum_of_one_first():
    found = apart({"a": logs(0.01, 0.03)}, {"a": logs(0.2, 0.6)})
    assert (found.shift, found.moved) == pytest.approx((0.0, 0.0), abs=1e-12)


def test_an_answer_that_differs_is_told_with_the_wider_of_its_margins():
    found = apart({"a": logs(0.6, 0.4), "b": logs(0.9, 0.1)}, {"a": logs(0.3, 0.7), "b": logs(0.6, 0.4)})
    assert found.flips == pytest.approx((log(7 / 3),)), "not log 3/2"
    assert found.moved >= max(found.flips)


def test_questions_that_one_way_alone_was_asked_are_left_out():
    assert len(apart({"a": logs(0.5, 0.5), "b": logs(0.5, 0.5)}, {"b": logs(0.5, 0.5)}).divergences) == 1


def test_the_mean_of_one_question_that_stands_out_is_bounded_by_how_often_it_is_drawn():
    values = (0.0,) * 9 + (1.0,)
    assert sum(drawn_means(values, 20)) / len(drawn_means(values, 20)) == pytest.approx(0.1, abs=0.005)
    assert mean_bound(values, 20) == pytest.approx(0.35), (
        "7 of 20 or more come once in 419 draws, 8 once in 2404"
    )
    assert mean_bound(values, 100) < mean_bound(values, 20)
    assert mean_bound((0.5,), 20) == 0.5
