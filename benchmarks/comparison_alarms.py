"""How often a comparison of what is no worse ends with REJECT, by simulation, and what that costs in power.

    python benchmarks/comparison_alarms.py [--seeds 20000] [--json FILE]

Each row is one made world in so many seeds: answers, shifts of choices beside twins, or times. `alarms` are
the seeds in which chance alone lets any statistical gate say FAIL at the rate of the whole, by the functions
of `modeltest/compare/`. That a limit must be passed as well makes them fewer, and is left out. At one in
3,650 few seeds show anything, so each world is told at larger rates too.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from math import log
from pathlib import Path
from random import Random
from statistics import stdev

from modeltest.api import CalibratedTolerance, Case
from modeltest.compare.paired import at_least, holm, mcnemar_p_value
from modeltest.compare.paired_shifts import paired_shifts
from modeltest.compare.slowdown import slowdown_p_value
from modeltest.compare.tolerances import MAX_WIDE_FLIPS, RELATIVE_TOLERANCE, Tolerances
from modeltest.shifts.noise import fit_noise

RATES = (0.05, 0.01, 0.001, Tolerances().false_alarms)
TRIALS = 5
SUBJECTS = 10
METRICS = 12
"""Three metrics of four cases."""

World = Callable[[Random], list[float]]
"""The p-value of every statistical gate in one seed."""


@dataclass(frozen=True)
class Row:
    """How often one world gave an alarm at one rate."""

    world: str
    seeds: int
    rate: float
    alarms: int


def answers_world(questions: int, differ: float) -> World:
    """Return answers of which some are won and as many lost, and as many wide flips as are allowed."""

    def draw(random: Random) -> list[float]:
        tables = [[0, 0] for _ in range(SUBJECTS)]
        wide = 0
        for number in range(questions):
            chance = random.random()
            if chance < differ:
                tables[number % SUBJECTS][chance < differ / 2] += 1
            wide += random.random() < MAX_WIDE_FLIPS
        lost, won = (sum(each[side] for each in tables) for side in (0, 1))
        whole = mcnemar(lost, won) if lost > won else 1.0
        adjusted = holm({str(at): mcnemar(*each) for at, each in enumerate(tables)})
        worse = [adjusted[str(at)] for at, each in enumerate(tables) if each[0] > each[1]]
        return [whole, min(worse, default=1.0), rare(wide, questions)]

    return draw


def shifts_world(questions: int, twins: int, *, has_tails: bool) -> World:
    """Return choices that a twin and the candidate round alike, each on its own; `has_tails`: some by far."""

    def rounded(random: Random, told: Sequence[float]) -> list[float]:
        wild = random.choice((0.2, 0.2, 0.2, 3.0)) if has_tails else 1.0
        return [each + 0.05 * wild * random.gauss(0, 1) for each in told]

    def draw(random: Random) -> list[float]:
        reference = {f"q/{at}": [-random.expovariate(1) for _ in range(4)] for at in range(questions)}
        shown = {
            f"twin {at}": {name: rounded(random, told) for name, told in reference.items()}
            for at in range(twins)
        }
        candidate = {name: rounded(random, told) for name, told in reference.items()}
        noise = fit_noise(reference, shown, has_positions=False)
        assert noise is not None
        by_name: dict[str, list[float]] = {}
        for each in paired_shifts(noise, candidate, shown):
            by_name.setdefault(each.statistic, []).append(each.p_value)
        return [max(each) for each in by_name.values()]  # a gate fails where every twin is far

    return draw


def times_world(sessions: int, *, slower: float = 1.0, calibrated: bool = False) -> World:
    """Return times of sessions that differ by 2 %, or by what a tolerance of 5 % is taken for."""
    deviation = 0.02 if sessions > 1 or calibrated else log(1 + RELATIVE_TOLERANCE) / (2**0.5 * 2.3263)

    def side(random: Random, times: float) -> list[list[float]]:
        return [
            [times * level * random.lognormvariate(0, 0.002) for _ in range(TRIALS)]
            for level in (random.lognormvariate(0, deviation) for _ in range(sessions))
        ]

    def draw(random: Random) -> list[float]:
        found = []
        for _ in range(METRICS):
            known = _calibration(random, deviation) if calibrated else None
            sides = side(random, 10.0), side(random, 10.0 * slower)
            found.append(slowdown_p_value(*sides, tolerance=RELATIVE_TOLERANCE, calibrated=known))
        return found

    return draw


def worlds() -> dict[str, World]:
    """Return every world by its name."""
    return {
        "answers: 500 questions, 2 % differ": answers_world(500, 0.02),
        "answers: 2,000 questions, 4 % differ": answers_world(2000, 0.04),
        "shifts: 60 questions, one twin": shifts_world(60, 1, has_tails=False),
        "shifts: 60 questions, one twin, far tails": shifts_world(60, 1, has_tails=True),
        "shifts: 60 questions, two twins": shifts_world(60, 2, has_tails=False),
        "times: one session a side": times_world(1),
        "times: 3 sessions a side": times_world(3),
        "times: 5 sessions a side": times_world(5),
        "times: one session a side, calibrated": times_world(1, calibrated=True),
    }


def rows(seeds: int) -> Iterator[Row]:
    """Yield how often each world gives an alarm at each rate, its gates sharing it equally."""
    for name, world in worlds().items():
        drawn = [world(Random(f"{name} {seed}")) for seed in range(seeds)]
        for rate in RATES:
            yield Row(name, seeds, rate, sum(min(each) <= rate / len(each) for each in drawn))


def found_slowdown(sessions: int, rate: float, *, calibrated: bool = False, seeds: int = 200) -> float | None:
    """Return the smallest slowdown of one metric that is found nine times of ten, in steps of 1 %."""
    for percent in range(1, 100):
        world = times_world(sessions, slower=1 + percent / 100, calibrated=calibrated)
        found = sum(world(Random(seed))[0] <= rate / METRICS for seed in range(seeds))
        if found >= 0.9 * seeds:
            return percent / 100
    return None


def found_drop(questions: int, rate: float) -> int:
    """Return the fewest lost answers, of which none is won elsewhere, that fail the gate of accuracy."""
    return next(lost for lost in range(1, questions) if mcnemar_p_value(lost, 0) <= rate / 3)


def _calibration(random: Random, deviation: float) -> CalibratedTolerance:
    logs = [random.gauss(0, deviation) for _ in range(6)]
    return CalibratedTolerance(Case(8, 8), 1, "tpot_ms", 6, stdev(logs), 1.0, RELATIVE_TOLERANCE)


@cache
def mcnemar(lost: int, won: int) -> float:
    """Return McNemar's p-value, kept."""
    return mcnemar_p_value(lost, won)


@cache
def rare(flips: int, questions: int) -> float:
    """Return how often so many flips come of the share that is allowed, kept."""
    return at_least(flips, questions, MAX_WIDE_FLIPS)


def main(words: Sequence[str] | None = None) -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=20_000)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args(words)
    found = []
    print("| world | rate of the whole | alarms |\n| --- | ---: | ---: |")
    for row in rows(options.seeds):
        found.append(asdict(row))
        print(f"| {row.world} | {row.rate:.3%} | {row.alarms / row.seeds:.3%} |", flush=True)
    print("\n| found | at 5 % a gate | at one alarm a year |\n| --- | ---: | ---: |")
    for sessions, calibrated in ((1, False), (3, False), (5, False), (8, False), (1, True), (3, True)):
        each_gate = found_slowdown(sessions, 0.05 * METRICS, calibrated=calibrated)
        yearly = found_slowdown(sessions, Tolerances().false_alarms, calibrated=calibrated)
        name = f"slowdown, {sessions} sessions a side{', calibrated' if calibrated else ''}"
        print(f"| {name} | {_percent(each_gate)} | {_percent(yearly)} |", flush=True)
    lost = found_drop(10_000, 3 * 0.05), found_drop(10_000, Tolerances().false_alarms)
    print(f"| answers lost, none won | {lost[0]} | {lost[1]} |")
    if options.json is not None:
        options.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


def _percent(share: float | None) -> str:
    return "none" if share is None else f"{share:.0%}"


if __name__ == "__main__":
    main()
