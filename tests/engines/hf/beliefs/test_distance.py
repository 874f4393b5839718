"""Distances of distributions against numbers computed by hand."""

import math

import pytest
import torch

from engines.hf.beliefs.distance import distance, rounding_of

EVEN = torch.tensor([[0.0, 0.0]])


def test_equal_distributions_are_no_distance_apart_whatever_is_added_to_all_logits():
    assert distance([EVEN + 3.0], [EVEN]) == 0.0


def test_the_distance_is_the_weighted_deviation_of_the_log_probabilities():
    # Differences of 0.1 and -0.1, each weighing one half: a standard deviation of 0.1.
    assert distance([torch.tensor([[0.1, -0.1]])], [EVEN]) == pytest.approx(0.1)


def test_a_token_that_nobody_says_weighs_nothing():
    truth = torch.tensor([[0.0, 0.0, -80.0]])
    assert distance([torch.tensor([[0.0, 0.0, -70.0]])], [truth]) < 1e-15


def test_over_positions_and_rows_it_is_the_root_of_the_mean_square():
    off = torch.tensor([[0.1, -0.1], [0.0, 0.0]])
    assert distance([off, EVEN, EVEN], [EVEN.repeat(2, 1), EVEN, EVEN]) == pytest.approx(0.05)


def test_what_is_excluded_in_both_differs_by_nothing():
    excluded = torch.tensor([[0.0, 0.0, -math.inf]])
    assert distance([excluded], [excluded]) == 0.0


def test_a_position_at_which_the_truth_is_no_number_says_nothing():
    broken = torch.tensor([[math.nan, 0.0], [0.0, 0.0]])
    assert distance([EVEN.repeat(2, 1)], [broken]) == 0.0
    assert distance([broken[:1]], [broken[:1]]) == 0.0


def test_what_is_no_number_where_the_truth_is_one_is_infinitely_far():
    assert distance([torch.tensor([[math.nan, 0.0]])], [EVEN]) == math.inf


def test_small_differences_of_large_numbers_are_exact():
    # Float32 has steps of 2 ** -20 around 10: one step up and one down, each weighing one half.
    step = 2.0**-20
    truth = torch.tensor([[10.0, 10.0]])
    assert distance([torch.tensor([[10.0 + step, 10.0 - step]])], [truth]) == pytest.approx(step, rel=1e-6)


def test_rounding_to_another_dtype_follows_the_steps_of_that():
    assert rounding_of(torch.tensor([[4.0, -4.0]]), torch.bfloat16) == pytest.approx(4 / 128)


def test_rounding_follows_the_size_of_the_logits_and_their_dtype():
    assert rounding_of(torch.tensor([[4.0, -4.0]], dtype=torch.bfloat16)) == pytest.approx(4 / 128)
    assert rounding_of(torch.tensor([[math.nan]])) == 0.0
