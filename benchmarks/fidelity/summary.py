"""What turns and rounds say: how far ModelTest is from the bare loop, and what its timing costs. Pure."""

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

GOAL_TURNS = 5
"""Goals hold for the median of at least so many turns."""


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


@dataclass(frozen=True, slots=True)
class Agreement:
    """The ratio of two times that were taken together: its median and the 95 % interval of that."""

    ratio: float
    low: float | None
    high: float | None


@dataclass(frozen=True, slots=True)
class InTurn:
    """What the turns in one process say. `missed` names the goals that were not reached."""

    medians: Mapping[str, Mapping[str, float]]
    """By side, then by metric."""

    agreement: Mapping[str, Agreement]
    """ModelTest to the bare loop within a turn, by metric."""

    timing: Agreement
    """A batch of which every token is timed to one of which the end alone is, end to end."""

    turns: int
    missed: tuple[str, ...] = field(default=())


@dataclass(frozen=True, slots=True)
class Apart:
    """What the rounds of whole processes say; they are held to no goal."""

    medians: Mapping[str, Mapping[str, float]]
    """By side, then by metric: the median over the rounds."""

    agreement: Mapping[str, Mapping[str, Agreement]]
    """By side but the bare loop, then by metric: within a round."""

    rounds: int


def side(trials: Sequence[Mapping[str, float]]) -> Side:
    """Return the medians of a side that tells every trial."""
    return Side({name: median(trial[name] for trial in trials) for name in METRICS}, len(trials))


def summarize_turns(turns: Sequence[Mapping[str, Mapping[str, float]]]) -> InTurn:
    """Return what `turns` say; with fewer than `GOAL_TURNS` no goal can be missed."""
    agreement = {
        metric: _agreement([(turn["modeltest"][metric], turn["bare"][metric]) for turn in turns])
        for metric in METRICS
    }
    timing = _agreement([(turn["modeltest"]["e2e_ms"], turn["end_alone"]["e2e_ms"]) for turn in turns])
    return InTurn(
        medians={
            name: {metric: median(turn[name][metric] for turn in turns) for metric in METRICS}
            for name in ("modeltest", "bare")
        },
        agreement=agreement,
        timing=timing,
        turns=len(turns),
        missed=_missed(agreement, timing) if len(turns) >= GOAL_TURNS else (),
    )


def summarize_rounds(rounds: Sequence[Round]) -> Apart:
    """Return what whole processes say; nothing, of no round."""
    if not rounds:
        return Apart({}, {}, 0)
    sides: dict[str, list[Side]] = {
        "ModelTest": [each.modeltest for each in rounds],
        "bare loop": [each.bare for each in rounds],
    }
    optimum = [each.optimum for each in rounds if each.optimum is not None]
    if optimum:
        sides["optimum-benchmark"] = optimum
    bare = sides["bare loop"]
    return Apart(
        medians={
            name: {metric: median(each.medians[metric] for each in found) for metric in METRICS}
            for name, found in sides.items()
        },
        agreement={
            name: {
                metric: _agreement(
                    [(one.medians[metric], two.medians[metric]) for one, two in zip(found, bare, strict=True)]
                )
                for metric in METRICS
            }
            for name, found in sides.items()
            if found is not bare
        },
        rounds=len(rounds),
    )


def _agreement(pairs: Sequence[tuple[float, float]]) -> Agreement:
    ratios = [one / other for one, other in pairs]
    interval = median_interval(ratios)
    return Agreement(median(ratios), interval.low if interval else None, interval.high if interval else None)


def _missed(agreement: Mapping[str, Agreement], timing: Agreement) -> tuple[str, ...]:
    missed = [
        f"{metric} differs from the bare loop by {found.ratio - 1:+.1%}, {AGREEMENT:.0%} is allowed"
        for metric, found in agreement.items()
        if abs(found.ratio - 1) > AGREEMENT
    ]
    if timing.ratio - 1 > OVERHEAD:
        missed.append(f"timing costs {timing.ratio - 1:+.1%}, {OVERHEAD:.0%} is allowed")
    return tuple(missed)
