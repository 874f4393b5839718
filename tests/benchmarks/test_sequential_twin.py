"""The simulations compute what the product computes: every path of theirs is held against its classes."""

import random

import numpy as np
import pytest
from sequential_twin.batch import MeanBatch
from sequential_twin.drop import DropBatch, Losses, urns_of
from sequential_twin.urns import Urns

from modeltest.api import Leaning
from modeltest.sequential import (
    PAIRED,
    AlternativeStake,
    Betting,
    DropStrata,
    DropTest,
    MeanNull,
    MeanTest,
    Stratum,
    signed_betting,
)

PATHS = 5


class Scripted:
    """Gives the values of each path in their order."""

    def __init__(self, values):
        self.values = np.array(values, dtype=float)
        self.given = np.zeros(len(values), dtype=int)

    def draw(self, rows):
        found = self.values[rows, self.given[rows]]
        self.given[rows] += 1
        return found


@pytest.mark.parametrize("population", [60, 40, None])
@pytest.mark.parametrize(
    ("betting", "nulls", "choices"),
    [
        (PAIRED, (-0.3, -0.1, -0.02), (-1, 0, 0, 0, 0, 1)),
        (signed_betting(0.0, 1.0), (-0.2, -0.1), (-0.5, -0.25, 0.0, 0.125, 0.75)),
        (Betting(0.2, (AlternativeStake(),), (1.0,)), (0.05, 0.1), (0, 0, 0, 0, 1)),
    ],
    ids=["paired", "signed", "rare"],
)
def test_many_paths_at_once_have_the_evidence_of_one_test_each(population, betting, nulls, choices):
    source = random.Random(5)
    values = [[source.choice(choices) for _ in range(40)] for _ in range(PATHS)]
    low, high = (0.0, 1.0) if min(choices) == 0 else (-1.0, 1.0)
    totals = np.array(nulls) * (1 if population is None else population)
    batch = MeanBatch(totals, population, (low, high), betting, PATHS)
    tests = [
        [MeanTest(MeanNull(mean, population, low, high), betting, risk=0.01) for mean in nulls]
        for _ in range(PATHS)
    ]
    for step in range(40):
        found = batch.take(np.arange(PATHS), np.array([path[step] for path in values], dtype=float))
        for path in range(PATHS):
            for each in tests[path]:
                each.take(values[path][step])
            expected = [each.path.log_evidence for each in tests[path]]
            assert np.log(found[path]) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("window", [1, 7, 32])
@pytest.mark.parametrize("share", [0.0, 0.05, 0.2])
def test_paths_with_near_ties_apart_decide_when_the_product_does(window, share):
    strata = DropStrata(60, 150, 90, least_drop=9)
    source = random.Random(11)
    parts = [
        [[_difference(source, share, low, high) for _ in range(size)] for _ in range(PATHS)]
        for size, low, high in ((60, -1, 1), (150, -1 if share > 0.1 else 0, 0), (90, 0, 1))
    ]
    batch = DropBatch(strata, [Scripted(each) for each in parts], risk=0.05, paths=PATHS, window=window)
    found = batch.run()
    assert list(found) == [
        _decided_at(strata, [part[path] for part in parts], window) for path in range(PATHS)
    ]


def _difference(source, share, low, high):
    return source.choice((low, high)) if source.random() < share else 0


def _decided_at(strata, values, window):
    test = DropTest(strata, risk=0.05)
    left = dict(zip(Stratum, map(iter, values), strict=True))
    while test.leaning is Leaning.OPEN and any(map(test.remaining, Stratum)):
        ask = test.allocate(window)
        for stratum, count in zip(Stratum, (ask.near, ask.rest, ask.spare), strict=True):
            for _ in range(count):
                if test.path.decided_at is None:
                    test.take(stratum, next(left[stratum]))
    return test.path.decided_at or 0


def test_urns_give_each_value_as_often_as_it_is_in_them():
    urns = Urns((-1, 0, 1), (2, 5, 3), 50, np.random.default_rng(1))
    drawn = np.array([urns.draw(np.arange(50)) for _ in range(10)])
    for value, count in ((-1, 2), (0, 5), (1, 3)):
        assert ((drawn == value).sum(axis=0) == count).all()
    assert len({tuple(path) for path in drawn.T}) > 40, "in another order each"


def test_urns_of_a_made_candidate_hold_its_losses():
    strata = DropStrata(10, 20, 5, least_drop=3)
    losses = Losses(near_lost=2, near_won=1, rest_lost=3, spare_won=1)
    near, rest, spare = urns_of(strata, losses, 2, np.random.default_rng(1))
    assert near.counts[0].tolist() == [2, 7, 1]
    assert rest.counts[0].tolist() == [3, 17, 0]
    assert spare.counts[0].tolist() == [0, 4, 1]
    assert losses.drop == 3
