"""From rounds to the figures of a job: medians over rounds, and whether they reach the goal."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from statistics import median

from lm_eval_comparison.agreement import Agreement
from lm_eval_comparison.rounds import Measured, Side


@dataclass(frozen=True, slots=True)
class SideSummary:
    """One harness over all rounds: median times, the largest peak."""

    wall_s: float
    evaluate_s: float
    questions_per_s: float
    peak_bytes: int
    forward_share: float | None
    """Median of forward time over evaluation time."""


@dataclass(frozen=True, slots=True)
class JobSummary:
    """The figures of one job: medians of the rounds' ratios, not ratios of medians."""

    lm_eval: SideSummary
    modeltest: SideSummary
    speed_up: float
    lowest_speed_up: float
    """Of any round."""

    memory_share: float
    floor_s: float
    over_floor: float
    floor_gflop_per_s: float
    modeltest_gflop_per_s: float
    """The floor's work over ModelTest's evaluation time."""

    square_gflop_per_s: float
    layer_gflop_per_s: float
    prompt_tokens: int
    unique_tokens: int
    agreement: Agreement
    """Of the round that agreed least."""

    missed: tuple[str, ...]
    """The goals that were not reached; none where no goal applies."""


def summarize(measured: Measured) -> JobSummary:
    """Return the figures of a job."""
    rounds = measured.rounds
    agreement = min(
        (each.agreement for each in rounds),
        key=lambda found: (found.equal_answers, found.equal_prompts, -found.largest_difference),
    )
    lm_eval = _side([each.lm_eval for each in rounds], agreement.questions)
    modeltest = _side([each.modeltest for each in rounds], agreement.questions)
    speed_ups = [each.lm_eval.evaluate_s / each.modeltest.evaluate_s for each in rounds]
    over_floor = median(each.modeltest.evaluate_s / each.floor["floor_s"] for each in rounds)
    floors = [each.floor for each in rounds]
    memory_share = modeltest.peak_bytes / lm_eval.peak_bytes
    floor_gflop = floors[0]["floor_gflop_per_s"] * floors[0]["floor_s"]
    speed_up = median(speed_ups)
    return JobSummary(
        lm_eval=lm_eval,
        modeltest=modeltest,
        speed_up=speed_up,
        lowest_speed_up=min(speed_ups),
        memory_share=memory_share,
        floor_s=median(floor["floor_s"] for floor in floors),
        over_floor=over_floor,
        floor_gflop_per_s=median(floor["floor_gflop_per_s"] for floor in floors),
        modeltest_gflop_per_s=floor_gflop / modeltest.evaluate_s,
        square_gflop_per_s=max(floor["square_gflop_per_s"] for floor in floors),
        layer_gflop_per_s=max(floor["layer_gflop_per_s"] for floor in floors),
        prompt_tokens=int(floors[0]["prompt_tokens"]),
        unique_tokens=int(floors[0]["unique_tokens"]),
        agreement=agreement,
        missed=_missed(measured, speed_up, memory_share, over_floor, agreement),
    )


def _side(sides: Iterable[Side], questions: int) -> SideSummary:
    sides = list(sides)
    evaluate_s = median(side.evaluate_s for side in sides)
    shares = [side.forward_s / side.evaluate_s for side in sides if side.forward_s is not None]
    return SideSummary(
        wall_s=median(side.wall_s for side in sides),
        evaluate_s=evaluate_s,
        questions_per_s=questions / evaluate_s,
        peak_bytes=max(side.peak_bytes for side in sides),
        forward_share=median(shares) if shares else None,
    )


def _missed(
    measured: Measured, speed_up: float, memory_share: float, over_floor: float, agreement: Agreement
) -> tuple[str, ...]:
    missed = []
    if agreement.equal_answers != agreement.questions:
        missed.append(f"answers {agreement.equal_answers} of {agreement.questions}")
    if goal := measured.job.goal:
        if speed_up < goal.speed_up:
            missed.append(f"time {speed_up:.1f}x < {goal.speed_up:g}x")
        if memory_share > goal.memory_share:
            missed.append(f"memory {memory_share:.2f} > {goal.memory_share:.2f}")
        if goal.over_floor is not None and over_floor > goal.over_floor:
            missed.append(f"floor {over_floor:.2f}x > {goal.over_floor:g}x")
    return tuple(missed)
