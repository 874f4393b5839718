"""Logits that were rounded to 16 bits are told from those that were not, by the differences they leave."""

import math

import numpy as np
import pytest

from engines.endpoint.logit_steps import FINEST_STEP, common_step, differences


def _places(logits: np.ndarray) -> list[dict[int, float]]:
    """Return the log-probabilities of the 20 likeliest tokens of each row, as a server writes them."""
    told = []
    for row in logits.astype(np.float32):
        shifted = row - row.max()
        logprobs = shifted - np.log(np.exp(shifted).sum(dtype=np.float32))
        told.append({int(token): round(float(logprobs[token]), 6) for token in row.argsort()[-20:]})
    return told


def _logits() -> np.ndarray:
    """Return logits of 8 places whose likeliest are between 16 and 32, as those of trained models."""
    return np.random.default_rng(5).normal(12.0, 3.0, (8, 4096)).clip(-31, 31)


def _in_bfloat16(values: np.ndarray) -> np.ndarray:
    """Keep 8 significant bits."""
    step = 2.0 ** (np.floor(np.log2(np.abs(values))) - 7)
    return np.round(values / step) * step


def test_logits_in_bfloat16_are_an_eighth_apart_between_16_and_32():
    assert common_step(differences(_places(_in_bfloat16(_logits())))) == 0.125


def test_logits_in_float16_are_a_64th_apart_between_16_and_32():
    assert common_step(differences(_places(_logits().astype(np.float16)))) == 2.0**-6


def test_logits_in_float32_have_no_step():
    assert common_step(differences(_places(_logits()))) is None


def test_the_largest_step_that_fits_is_told():
    assert common_step([0.5, 1.0, 2.5] * 8) == 0.5
    assert common_step([2.0, 4.0, 6.0] * 8) == 2.0
    assert common_step([FINEST_STEP, 3 * FINEST_STEP] * 12) == FINEST_STEP


def test_differences_are_from_the_likeliest_of_their_own_place_and_never_nothing():
    places = [{1: -0.25, 2: -1.25, 3: -0.25}, {}, {7: -3.0, 8: -5.0}]
    assert sorted(differences(places)) == [1.0, 2.0]


def test_a_token_that_cannot_come_says_nothing_of_the_others():
    assert differences([{1: 0.0, 2: -math.inf, 3: -0.5}]) == [0.5]


def test_so_few_differences_that_chance_could_make_a_step_are_refused():
    with pytest.raises(ValueError, match="2 differences"):
        common_step([0.5, 1.0])
