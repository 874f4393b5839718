"""The simulation of false alarms: few seeds here, 20,000 in docs/compare.md."""

from random import Random

import pytest
from comparison_alarms import found_drop, found_slowdown, rows, times_world, worlds

SEEDS = 150


@pytest.mark.parametrize("name", worlds())
def test_the_gates_of_a_comparison_keep_their_rate_together(name):
    world = worlds()[name]
    drawn = [world(Random(f"{name} {seed}")) for seed in range(SEEDS)]
    alarms = sum(min(each) <= 0.05 / len(each) for each in drawn)
    assert alarms <= 16  # 5 % of 150 are 7.5, and three standard deviations more


def test_each_gate_at_the_rate_of_the_whole_would_not():
    world = times_world(3)
    drawn = [world(Random(seed)) for seed in range(SEEDS)]
    assert sum(min(each) <= 0.05 for each in drawn) > 30


def test_a_lower_rate_costs_power():
    assert found_drop(1000, 0.15) == 6
    assert found_drop(1000, 1 / 3650) == 15
    assert found_slowdown(5, 0.6, seeds=20) < found_slowdown(5, 1 / 3650, seeds=20)


def test_every_world_is_told_at_every_rate():
    assert len({(row.world, row.rate) for row in rows(2)}) == len(worlds()) * 4
