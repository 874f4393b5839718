from itertools import product
from math import exp
from random import Random

import pytest

from modeltest.compare.paired_shifts import PairedShift, paired_shifts, symmetry_p_value
from modeltest.shifts.noise import fit_noise


def exactly(differences):
    """Return how often signs drawn at random give a sum as far from 0, by counting all of them."""
    sums = [
        sum(sign * each for sign, each in zip(signs, differences, strict=True))
        for signs in product((1, -1), repeat=len(differences))
    ]
    return sum(abs(each) >= abs(sum(differences)) - 1e-9 for each in sums) / len(sums)


@pytest.mark.parametrize("seed", range(20))
def test_the_probability_is_never_less_than_that_of_all_signs_counted(seed):
    draw = Random(seed)
    sizes = [draw.paretovariate(1.5) for _ in range(12)]
    for differences in (sizes, [each * draw.choice((1, 1, 1, -1)) for each in sizes]):
        assert symmetry_p_value(differences, is_one_sided=False) >= exactly(differences)


def test_a_hundred_equal_differences_are_hardly_chance():
    assert symmetry_p_value([1.0] * 100, is_one_sided=False) == pytest.approx(
        2 * 2 * exp(3) / 9 * 7.61985e-24, rel=1e-4
    )


def test_no_difference_says_nothing_and_less_of_one_sided_is_as_good():
    assert symmetry_p_value([0.0] * 20, is_one_sided=False) == 1.0
    assert symmetry_p_value([-1.0] * 20, is_one_sided=True) == 1.0
    assert symmetry_p_value([1.0] * 20, is_one_sided=True) < 1e-4


def test_a_mean_reaches_as_far_as_its_error_lets_it():
    found = PairedShift("shift", False, "twin", 100, mean=-0.2, error=0.1, p_value=1.0)
    assert found.reach(0.01) == pytest.approx(0.2 + 2.36461 * 0.1, abs=1e-4)
    one_sided = PairedShift("spread", True, "twin", 100, mean=-0.2, error=0.1, p_value=1.0)
    assert one_sided.reach(0.01) == pytest.approx(-0.2 + 2.36461 * 0.1, abs=1e-4)


def test_each_statistic_is_held_against_each_twin_in_pairs():
    draw = Random(1)
    reference = {f"q{each}": (-draw.uniform(0.1, 1), -draw.uniform(1, 3)) for each in range(60)}
    twin = {name: tuple(each + draw.gauss(0, 0.05) for each in told) for name, told in reference.items()}
    other = {name: tuple(each + 0.02 for each in told) for name, told in twin.items()}
    noise = fit_noise(reference, {"a": twin, "b": other}, has_positions=False)
    found = {
        (each.statistic, each.twin): each for each in paired_shifts(noise, twin, {"a": twin, "b": other})
    }
    assert {twin for _, twin in found} == {"a", "b"}
    assert (found["shift", "a"].mean, found["shift", "a"].p_value) == (0.0, 1.0)
    assert found["shift", "b"].mean < -0.3
    assert found["shift", "b"].p_value < 1e-6
