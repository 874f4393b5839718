"""An engine whose latencies come from a formula and a seed, so that the true answer of a search is known.

`python tests/modeltest/search/simulated_engine.py` prints how well the search does on every kind.
"""

from __future__ import annotations

import sys
from bisect import bisect_left
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from math import ceil, exp, inf, log
from random import Random
from statistics import fmean, median

from modeltest.api import ProbeDecision, SearchStatus
from modeltest.search import (
    FULL_EFFORT,
    Ask,
    Effort,
    Evidence,
    Reading,
    SearchOutcome,
    SearchRange,
    conclude,
    search_max_batch,
)

HIGHEST = 2048
GIB = 1 << 30
TURN = 12
"""So many trials on average an engine whose rate moves keeps its rate."""


@dataclass
class SimulatedEngine:
    """A step of B rows takes `start_ms` + `row_ms` x B, B rounded up to a multiple of `tile`.

    A trial scatters by `noise` (a relative standard deviation); one in 20 is disturbed and 1.1 to 3 times
    slower when `is_disturbed`. The first trial of a batch size is `cold` times slower. A screen is faster by
    the factor `growth`, for its context is short. The whole engine is slower by the factor `slow` by turns,
    as on a machine that does other work too; a turn ends after one trial in `TURN`. What is true is without.
    """

    start_ms: float
    row_ms: float
    tile: int = 1
    noise: float = 0.0
    is_disturbed: bool = False
    cold: float = 1.0
    growth: float = 1.0
    dips: bool = False
    memory_rows: float = inf
    tells_memory: bool = False
    fails_from: float = inf
    hangs: float = 0.0
    """The share of the trials that hang: they are ended and give nothing."""

    slow: float = 1.0
    seed: int = 0
    asked: list[Ask] = field(default_factory=list)
    _random: Random = field(init=False)
    _is_slow: bool = field(default=False, init=False)

    def __post_init__(self) -> None:
        self._random = Random(self.seed)

    def true_ms(self, batch_size: int) -> float:
        """Return the latency without noise; `dips` make every other multiple of 8 a fifth faster."""
        latency_ms = self.start_ms + self.row_ms * ceil(batch_size / self.tile) * self.tile
        return latency_ms * (0.8 if self.dips and batch_size % 16 == 8 else 1.0)

    def is_feasible(self, batch_size: int, limit_ms: float) -> bool:
        """Say whether `batch_size` may be reported."""
        return batch_size <= self.memory_rows and self.true_ms(batch_size) <= limit_ms

    def __call__(self, ask: Ask) -> Reading:
        is_first = ask.batch_size not in {each.batch_size for each in self.asked}
        self.asked.append(ask)
        if ask.batch_size > self.memory_rows:
            return Reading(None, out_of_memory=True)
        if ask.batch_size >= self.fails_from:
            return Reading(None)
        if self._random.random() < self.hangs:
            return Reading(None)
        latency_ms = self.true_ms(ask.batch_size) * exp(self.noise * self._random.gauss(0, 1))
        if self.is_disturbed and self._random.random() < 0.05:
            latency_ms *= self._random.uniform(1.1, 3)
        if self.slow > 1:
            self._is_slow ^= self._random.random() < 1 / TURN
            latency_ms *= self.slow if self._is_slow else 1.0
        latency_ms *= self.cold if is_first else 1.0
        latency_ms /= self.growth if ask.is_screen else 1.0
        peak = GIB + 1000 * ask.batch_size
        limit = GIB + 1000 * int(self.memory_rows) + 999 if self.tells_memory else None
        return Reading(latency_ms, peak_memory_bytes=peak, memory_limit_bytes=limit)


@dataclass(frozen=True)
class Simulated:
    """One search and the truth."""

    engine: SimulatedEngine
    limit_ms: float
    truth: int | None
    outcome: SearchOutcome
    evidence: Evidence

    @property
    def sizes(self) -> list[int]:
        return [probe.batch_size for probe in self.outcome.probes]

    @property
    def reports_an_infeasible_batch(self) -> bool:
        found = self.outcome.max_batch
        return found is not None and not self.engine.is_feasible(found, self.limit_ms)

    @property
    def distance(self) -> int:
        return abs((self.outcome.max_batch or 0) - (self.truth or 0))

    @property
    def can_be_seen(self) -> bool:
        """Say whether the batch below the true answer is three standard deviations under the limit.

        Where it is not, trials can hardly tell the true answer from the batches below it.
        """
        below = self.engine.true_ms(max(1, (self.truth or 1) - 1))
        return below <= self.limit_ms * (1 - 3 * self.engine.noise)

    @property
    def full_length(self) -> int:
        """How many trials of full length it took."""
        return sum(not ask.is_screen for ask in self.engine.asked)

    @property
    def time(self) -> float:
        """The time of all trials, that of one of 64 output tokens at the limit being 1."""
        asked = self.engine.asked
        steps_ms = sum(self.engine.true_ms(ask.batch_size) * (0.25 if ask.is_screen else 1) for ask in asked)
        return steps_ms / self.limit_ms

    @property
    def short_by(self) -> float:
        """The share of the limit that the answer leaves unused, in standard deviations of a trial."""
        if self.outcome.max_batch is None:
            return inf
        return (1 - self.engine.true_ms(self.outcome.max_batch + 1) / self.limit_ms) / self.engine.noise


def search(
    engine: Callable[[Ask], Reading],
    limit_ms: float,
    *,
    lowest: int = 1,
    highest: int = HIGHEST,
    too_large: int | None = None,
    effort: Effort = FULL_EFFORT,
    can_screen: bool = True,
    trials: float = inf,
) -> tuple[SearchOutcome, Evidence]:
    """Run a search against `engine`, or as much of it as `trials` allow."""
    bounds = SearchRange(lowest, highest, too_large)
    evidence = Evidence(limit_ms, effort, can_screen)
    asked = search_max_batch(bounds, evidence)
    done = 0
    try:
        ask = next(asked)
        while done < trials:
            done += 1
            ask = asked.send(engine(ask))
    except StopIteration:
        return conclude(bounds, evidence, is_finished=True), evidence
    return conclude(bounds, evidence, is_finished=False), evidence


def draw(
    seed: int, *, tile: int = 1, noise: float = 0.01, excess: float | None = None, **more: object
) -> tuple[SimulatedEngine, float]:
    """Return an engine and a limit whose true answer lies in [1, 2048], small ones as often as large.

    The rows take from a tenth to ten times what the start takes; the limit lies anywhere between the
    latency of the answer and that of the batch above it, or that one is over it by the share `excess`.
    """
    random = Random(f"{seed}/{tile}/{noise}/{sorted(more)}")
    truth = round(exp(random.uniform(0, log(HIGHEST))))
    start_ms = exp(random.uniform(log(2), log(50)))
    row_ms = start_ms * exp(random.uniform(log(0.1), log(10))) / truth
    engine = SimulatedEngine(
        start_ms,
        row_ms,
        tile=tile,
        noise=noise,
        cold=random.choice((1.0, 1.1, 1.5)),
        growth=random.choice((1.0, 1.05, 1.3)),
        seed=random.randrange(2**32),
    )
    engine = replace(engine, **more)
    plain = replace(engine, dips=False)
    last = ceil(truth / tile) * tile
    share = random.random()
    within, beyond = plain.true_ms(truth), plain.true_ms(last + 1)
    return engine, within + share * (beyond - within) if excess is None else beyond / (1 + excess)


def simulations(kind: str, seeds: Iterable[int]) -> list[Simulated]:
    """Run one search for each seed."""
    options = dict(KINDS[kind])
    can_screen = bool(options.pop("can_screen", True))
    return [simulate(*draw(seed, **options), can_screen=can_screen) for seed in seeds]


def simulate(engine: SimulatedEngine, limit_ms: float, **more: object) -> Simulated:
    outcome, evidence = search(engine, limit_ms, **more)
    sizes = range(1, HIGHEST + 1)
    if engine.dips:
        truth = next((size for size in reversed(sizes) if engine.is_feasible(size, limit_ms)), 0)
    else:
        truth = bisect_left(sizes, True, key=lambda size: not engine.is_feasible(size, limit_ms))
    return Simulated(engine, limit_ms, truth or None, outcome, evidence)


KINDS: dict[str, dict[str, object]] = {
    "linear, noise 0.5 %": {"noise": 0.005},
    "linear, noise 1 %": {"noise": 0.01},
    "linear, noise 1 %, not screened": {"noise": 0.01, "can_screen": False},
    "linear, noise 2 %": {"noise": 0.02},
    "linear, noise 2 %, disturbed": {"noise": 0.02, "is_disturbed": True},
    "linear, noise 5 %, disturbed": {"noise": 0.05, "is_disturbed": True},
    "steps of 16, noise 0.5 %": {"noise": 0.005, "tile": 16},
    "steps of 16, noise 2 %": {"noise": 0.02, "tile": 16},
    "steps of 64, noise 1 %, disturbed": {"noise": 0.01, "tile": 64, "is_disturbed": True},
    "dips, noise 1 %": {"noise": 0.01, "dips": True},
    "memory ends at 100, told": {"memory_rows": 100, "tells_memory": True},
    "memory ends at 100, not told": {"memory_rows": 100},
    "fails from 50": {"fails_from": 50},
    "one trial in 100 hangs": {"hangs": 0.01},
    "rate moves by 1.1, noise 1 %": {"slow": 1.1},
    "rate moves by 1.3, noise 1 %": {"slow": 1.3},
    "the batch above is 0.3 % over, noise 1 %": {"noise": 0.01, "tile": 64, "excess": 0.003},
}


def figures(found: Sequence[Simulated]) -> dict[str, float]:
    count = len(found)
    seen = [one for one in found if one.can_be_seen]
    ended = [one for one in found if one.outcome.status is not SearchStatus.BORDERLINE]
    return {
        "infeasible": sum(one.reports_an_infeasible_batch for one in found) / count,
        "can be seen": len(seen) / count,
        "of these within one batch": fmean(one.distance <= 1 for one in seen),
        "ended but BORDERLINE": len(ended) / count,
        "of these exact": fmean(one.distance == 0 for one in ended),
        "median short by, in sd": median(one.short_by for one in found),
        "19 of 20 short by, in sd": sorted(one.short_by for one in found)[count * 19 // 20],
        "batch sizes": fmean(len(one.sizes) for one in found),
        "most": max(len(one.sizes) for one in found),
        "trials": fmean(len(one.engine.asked) for one in found),
        "nine of ten full length": sorted(one.full_length for one in found)[count * 9 // 10],
        "full length": fmean(one.full_length for one in found),
        "time, in trials at the limit": fmean(one.time for one in found),
        "out of memory": fmean(
            sum(probe.decision is ProbeDecision.OUT_OF_MEMORY for probe in one.outcome.probes)
            for one in found
        ),
    }


def main(seeds: int) -> None:
    for name in KINDS:
        found = figures(simulations(name, range(seeds)))
        sys.stdout.write(f"{name}: {', '.join(f'{key} {value:.4g}' for key, value in found.items())}\n")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1000)
