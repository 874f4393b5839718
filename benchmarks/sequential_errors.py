"""Simulates the tests of `modeltest.sequential`: their errors where the null is true, and what they ask.

    python benchmarks/sequential_errors.py --json figures.json

Every row is one made candidate, asked in so many random orders (--seeds, 20,000). It takes a quarter of an
hour of one core or more. Rows whose null is true are watched until the whole population was asked, since an
error may come at any time; some of their populations are smaller than MMLU's for that.
tests/benchmarks/test_sequential_twin.py holds the arithmetic against the product's classes.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sequential_twin.drop import DropBatch, Losses, urns_of
from sequential_twin.rows import Row, decided, markdown, share
from sequential_twin.sides import Decided, MeanSide, Sides, decide
from sequential_twin.urns import Urns, Vectors

from modeltest.sequential import (
    PAIRED,
    AlternativeStake,
    Betting,
    DropStrata,
    MeanNull,
    RateLimits,
    Side,
    least_drop,
    signed_betting,
)

MMLU = 14_042
SMALL = 2_000
FEW = 1_000
FEWEST = 400
RISK = 0.01
SHARES = (0.0, 0.006, 0.02)
"""Of all questions: those whose answers differ though nothing is lost by it, as many won as lost."""

NEAR_SHARE = 0.2
ACCURACY = 0.62
"""Of the reference: so many of the questions that are no near-ties can be lost."""

BOUND = 0.05
STATISTICS = 5


def drop(seeds: int, random: np.random.Generator) -> Iterator[Row]:
    """Exclude a drop of accuracy, all questions drawn alike."""
    for limit in (0.005, 0.01):
        fewest = least_drop(limit, MMLU)
        for differing in SHARES:
            each = round(differing * MMLU / 2)
            at = _drop(_Answers(MMLU, each, each), fewest, seeds, random, to_the_end=False)
            yield _power(_drop_name(limit), f"{_percent(differing)} differ", MMLU, at)
    for population, limit in ((MMLU, 0.005), (SMALL, 0.01)):
        fewest = least_drop(limit, population)
        for differing in SHARES:
            each = round(differing * population / 2)
            answers = _Answers(population, fewest + each, each)
            at = _drop(answers, fewest, seeds, random, to_the_end=True)
            candidate = f"at the limit, {_percent(differing)} more differ"
            yield _error(_drop_name(limit), candidate, population, at)


def apart(seeds: int, random: np.random.Generator) -> Iterator[Row]:
    """The same with near-ties apart, which are a fifth of all; and with a census of them first."""
    for limit in (0.005, 0.01):
        strata = _strata(MMLU, least_drop(limit, MMLU))
        for differing in SHARES:
            each = round(differing * MMLU / 2)
            at = _apart(strata, Losses(each, each, 0), seeds, random)
            yield _power(f"{_drop_name(limit)}, near-ties apart", f"{_percent(differing)} differ", MMLU, at)
        # As many are won as lost, so the census leaves the limit as it is, whatever the share.
        rest = _Answers(strata.rest, 0, 0, high=0.0)
        at = strata.near + _drop(rest, strata.least_drop, seeds, random, to_the_end=False)
        yield _power(f"{_drop_name(limit)}, census of near-ties first", "any share differs", MMLU, at)


def apart_at_limit(seeds: int, random: np.random.Generator) -> Iterator[Row]:
    """The same where the null is true, the losses shared in several ways; of few questions, for the time."""
    limit = 0.04
    strata = _strata(FEWEST, least_drop(limit, FEWEST))
    for name, losses in _at_the_limit(strata.least_drop):
        at = _apart(strata, losses, seeds, random)
        yield _error(f"{_drop_name(limit)}, near-ties apart", f"at the limit, {name}", FEWEST, at)


def rate(seeds: int, random: np.random.Generator) -> Iterator[Row]:
    """Tell a rate of 0.2 % from 1.5 %."""
    name = "rate of 0.2 % or 1.5 %"
    for population, true_rate in ((MMLU, 0.0), (MMLU, 0.002), (MMLU, 0.04), (MMLU, 0.4)):
        found = _rate(population, true_rate, seeds, random, to_the_end=False)
        clean = true_rate < 0.01
        wrong = share(found.failed if clean else found.passed)
        at = found.passed if clean else found.failed
        median, p95 = decided(at)
        shares = share(found.passed), share(found.failed)
        yield Row(name, _percent(true_rate), population, seeds, *shares, median, p95, wrong, RISK)
    for true_rate, failing in ((0.002, True), (0.015, False)):
        found = _rate(SMALL, true_rate, seeds, random, to_the_end=True)
        wrong = share(found.failed if failing else found.passed)
        shares = share(found.passed), share(found.failed)
        candidate = f"{_percent(true_rate)}, to the end"
        yield Row(name, candidate, SMALL, seeds, *shares, None, None, wrong, RISK)


def equivalence(seeds: int, random: np.random.Generator) -> Iterator[Row]:
    """Tell whether a mean lies within -0.05..0.05, of values that reach to 1."""
    name = f"mean within {BOUND}"
    for mean in (0.0, 0.15):
        found = _equivalence(mean, seeds, random, to_the_end=False)
        at = found.passed if mean < BOUND else found.failed
        median, p95 = decided(at)
        wrong = share(found.failed if mean < BOUND else found.passed)
        shares = share(found.passed), share(found.failed)
        yield Row(name, f"mean {mean:g}", FEW, seeds, *shares, median, p95, wrong, RISK)
    for mean in (BOUND, -BOUND):
        found = _equivalence(mean, seeds, random, to_the_end=True)
        for side, at in (("passes", found.passed), ("fails", found.failed)):
            shares = share(found.passed), share(found.failed)
            candidate = f"mean {mean:g}, to the end: {side}"
            yield Row(name, candidate, FEW, seeds, *shares, None, None, share(at), RISK)


def combination(seeds: int, random: np.random.Generator) -> Iterator[Row]:
    """Five statistics of the same questions, correlated, each at the border of its null."""
    table = _correlated(random)
    draws = Vectors(table, seeds, random)
    betting = signed_betting(0.1, 1.0)
    sides = [MeanSide(MeanNull(0.0, len(table), -1.0, 1.0), betting, seeds) for _ in range(STATISTICS)]
    at = np.zeros(seeds, dtype=np.int64)
    rows = np.arange(seeds)
    for step in range(1, len(table) + 1):
        values = draws.draw(rows)
        together = np.mean([side.take(rows, values[:, n]) for n, side in enumerate(sides)], axis=0)
        hit = together >= 1 / RISK
        at[rows[hit]] = step
        rows = rows[~hit]
    name = f"{STATISTICS} statistics, weighted mean"
    yield Row(name, "all at the border", len(table), seeds, None, share(at), None, None, share(at), RISK)


GROUPS: dict[str, Callable[[int, np.random.Generator], Iterator[Row]]] = {
    each.__name__: each for each in (drop, apart, apart_at_limit, rate, equivalence, combination)
}


def _drop_name(limit: float) -> str:
    return f"drop of {100 * limit:g} point{'' if limit == 0.01 else 's'}"


def _percent(value: float) -> str:
    return f"{100 * value:g} %"


def _power(test: str, candidate: str, population: int, at: NDArray[np.int64]) -> Row:
    return Row(test, candidate, population, len(at), share(at), None, *decided(at))


def _error(test: str, candidate: str, population: int, at: NDArray[np.int64]) -> Row:
    return Row(test, candidate, population, len(at), share(at), None, None, None, share(at), RISK)


@dataclass(frozen=True, slots=True)
class _Answers:
    """Of a made candidate: how many questions there are, and how many are lost and won."""

    population: int
    lost: int
    won: int
    high: float = 1.0
    """0 where none can be won."""


def _drop(
    answers: _Answers, fewest: int, seeds: int, random: np.random.Generator, *, to_the_end: bool
) -> NDArray[np.int64]:
    """Return when each path passed: when a drop of `fewest` answers or more was excluded."""
    same = answers.population - answers.lost - answers.won
    urns = Urns((-1, 0, 1), (answers.lost, same, answers.won), seeds, random)
    null = MeanNull(-fewest / answers.population, answers.population, -1.0, answers.high)
    sides = Sides([MeanSide(null, PAIRED, seeds)], [], seeds)
    return decide(sides, urns, answers.population, risk=RISK, to_the_end=to_the_end).passed


def _strata(population: int, fewest: int) -> DropStrata:
    near = round(NEAR_SHARE * population)
    rest = round(ACCURACY * (population - near))
    return DropStrata(near, rest, population - near - rest, fewest)


def _at_the_limit(fewest: int) -> Iterator[tuple[str, Losses]]:
    yield "all lost among near-ties", Losses(fewest, 0, 0)
    yield "none lost among near-ties", Losses(0, 0, fewest)
    yield "half of it among near-ties", Losses(fewest // 2, 0, fewest - fewest // 2)
    yield (
        "half of it among near-ties, 20 more differ there",
        Losses(fewest // 2 + 10, 10, fewest - fewest // 2),
    )
    yield "a third of it won again elsewhere", Losses(0, 0, fewest + fewest // 3, fewest // 3)


def _apart(strata: DropStrata, losses: Losses, seeds: int, random: np.random.Generator) -> NDArray[np.int64]:
    """Return when each path passed; in portions, which fit into caches and memory."""
    portions = [min(4_000, seeds - begin) for begin in range(0, seeds, 4_000)]
    return np.concatenate(
        [
            DropBatch(strata, urns_of(strata, losses, paths, random), risk=RISK, paths=paths).run()
            for paths in portions
        ]
    )


def _rate(
    population: int, true_rate: float, seeds: int, random: np.random.Generator, *, to_the_end: bool
) -> Decided:
    low, high = RateLimits(0.002, 0.015, population).rates()
    stakes = (AlternativeStake(),)
    sides = Sides(
        [MeanSide(MeanNull(high, population, 0.0, 1.0, Side.LESS), Betting(low, stakes, (1.0,)), seeds)],
        [MeanSide(MeanNull(low, population, 0.0, 1.0), Betting(high, stakes, (1.0,)), seeds)],
        seeds,
    )
    # Of exact rates: as many as fail at least, as many as pass at most.
    events = round(high * population) if true_rate == 0.015 else int(true_rate * population + 1e-9)
    urns = Urns((0, 1), (population - events, events), seeds, random)
    return decide(sides, urns, population, risk=RISK, to_the_end=to_the_end)


def _equivalence(mean: float, seeds: int, random: np.random.Generator, *, to_the_end: bool) -> Decided:
    def side(at: float, looks: Side, alternative: float) -> MeanSide:
        return MeanSide(MeanNull(at, FEW, -1.0, 1.0, looks), signed_betting(alternative, 1.0), seeds)

    sides = Sides(
        [side(-BOUND, Side.GREATER, 0.0), side(BOUND, Side.LESS, 0.0)],
        [side(BOUND, Side.GREATER, 2 * BOUND), side(-BOUND, Side.LESS, -2 * BOUND)],
        seeds,
    )
    values = (-1.0, -0.25, 0.0, 0.25, 1.0)
    moved = round(abs(mean) * FEW / 0.5)  # from -0.25 to 0.25
    counts = [10, 300 - moved, FEW - 620, 300 + moved, 10]
    urns = Urns(values, counts if mean >= 0 else counts[::-1], seeds, random)
    return decide(sides, urns, FEW, risk=RISK, to_the_end=to_the_end)


def _correlated(random: np.random.Generator) -> NDArray[np.float64]:
    """Return 500 questions with five statistics each of mean 0 that have half of their sizes in common."""
    shared = random.normal(size=(FEW // 2, 1))
    table = 0.2 * (shared + random.normal(size=(FEW // 2, STATISTICS)))
    table -= table.mean(axis=0)
    return np.clip(table, -1, 1) - np.clip(table, -1, 1).mean(axis=0)


def main(words: list[str] | None = None) -> None:
    """Simulate and print; a table as in docs/acceptance.md."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=20_000, help="random orders of each row")
    parser.add_argument("--only", choices=GROUPS, action="append", help="these groups of rows alone")
    parser.add_argument("--seed", type=int, default=15, help="of the simulation itself")
    parser.add_argument("--json", type=Path, metavar="FILE", help="where to write the rows")
    given = parser.parse_args(words)
    rows: list[Row] = []
    for name in given.only or GROUPS:
        for row in GROUPS[name](given.seeds, np.random.default_rng(given.seed)):
            print(row, file=sys.stderr, flush=True)
            rows.append(row)
            if given.json:  # a run that is stopped keeps what it has
                given.json.write_text(json.dumps([asdict(each) for each in rows], indent=1) + "\n", "utf-8")
    print(markdown(rows))


if __name__ == "__main__":
    main()
