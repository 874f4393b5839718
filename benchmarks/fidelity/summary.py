"""What the rounds say: how far ModelTest is from the bare loop, and what its timing costs. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median

from modeltest.statistics import median_interval

METRICS = ("tpot_ms", "ttft_ms")

AGREEMENT = 0.02
"""The most that the median ratio to the bare loop may differ from one."""

OVERHEAD = 0.01
"""The most that timing every token may cost."""

GOAL_ROUNDS = 5
"""Goals hold for the median of at least so many rounds."""


@dataclass(frozen=True, slots=True)
class Side:
    """One harness in one round: the median over its trials, by metric."""

    medians: Mapping[str, float]
    trials: int


@dataclass(frozen=True, slots=True)
class Round:
    """Every side once, one after the other."""

    modeltest: Side
    bare: Side
    optimum: Side | None
    overhead: float | None
    """What ModelTest says that its timing costs, as a fraction."""

    verdict: str
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Agreement:
    """The ratio of one side to the bare loop within a round: median over the rounds and its 95 % interval."""

    ratio: float
    low: float | None
    high: float | None


@dataclass(frozen=True, slots=True)
class Summary:
    """All rounds together. `missed` names the goals that were not reached."""

    medians: Mapping[str, Mapping[str, float]]
    """By side, then by metric: the median over the rounds."""

    agreement: Mapping[str, Mapping[str, Agreement]]
    """By side but the bare loop, then by metric."""

    overhead: float | None
    rounds: int
    missed: tuple[str, ...] = field(default=())


def side(trials: Sequence[Mapping[str, float]]) -> Side:
    """Return the medians of a side that tells every trial."""
    return Side({name: median(trial[name] for trial in trials) for name in METRICS}, len(trials))


def summarize(rounds: Sequence[Round]) -> Summary:
    """Return what `rounds` say; with fewer than `GOAL_ROUNDS` no goal can be missed."""
    sides: dict[str, list[Side]] = {
        "ModelTest": [each.modeltest for each in rounds],
        "bare loop": [each.bare for each in rounds],
    }
    optimum = [each.optimum for each in rounds if each.optimum is not None]
    if optimum:
        sides["optimum-benchmark"] = optimum
    agreement = {
        name: {metric: _agreement(found, sides["bare loop"], metric) for metric in METRICS}
        for name, found in sides.items()
        if name != "bare loop"
    }
    overheads = [each.overhead for each in rounds if each.overhead is not None]
    overhead = median(overheads) if overheads else None
    return Summary(
        medians={
            name: {metric: median(each.medians[metric] for each in found) for metric in METRICS}
            for name, found in sides.items()
        },
        agreement=agreement,
        overhead=overhead,
        rounds=len(rounds),
        missed=_missed(agreement["ModelTest"], overhead) if len(rounds) >= GOAL_ROUNDS else (),
    )


def _agreement(found: Sequence[Side], bare: Sequence[Side], metric: str) -> Agreement:
    ratios = [one.medians[metric] / other.medians[metric] for one, other in zip(found, bare, strict=True)]
    interval = median_interval(ratios)
    return Agreement(median(ratios), interval.low if interval else None, interval.high if interval else None)


def _missed(agreement: Mapping[str, Agreement], overhead: float | None) -> tuple[str, ...]:
    missed = [
        f"{metric} differs from the bare loop by {found.ratio - 1:+.1%}, {AGREEMENT:.0%} is allowed"
        for metric, found in agreement.items()
        if abs(found.ratio - 1) > AGREEMENT
    ]
    if overhead is None:
        missed.append("ModelTest does not say what its timing costs")
    elif overhead > OVERHEAD:
        missed.append(f"timing costs {overhead:+.1%}, {OVERHEAD:.0%} is allowed")
    return tuple(missed)
