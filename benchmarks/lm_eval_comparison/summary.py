"""From rounds to the figures of a job: medians over rounds, and whether they reach the goal."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import median

from lm_eval_comparison.agreement import Agreement
from lm_eval_comparison.rounds import Measured, Side
from lm_eval_comparison.shifts import ShiftComparison
from lm_eval_comparison.texts import TextAgreement
from lm_eval_comparison.works import Job


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
    dtype_gain: float | None
    """ModelTest's median time in fp32 over that of this job; `None` where only one was measured."""

    floor_s: float
    over_floor: float
    floor_gflop_per_s: float
    modeltest_gflop_per_s: float | None
    """The floor's work over ModelTest's evaluation time; `None` where that is also spent on writing texts."""

    square_gflop_per_s: float
    layer_gflop_per_s: float
    prompt_tokens: int
    unique_tokens: int
    floor: Mapping[str, float]
    """Every figure of the floor, the median over rounds."""

    agreement: Agreement | TextAgreement
    """Of the round that agreed least."""

    shifts: ShiftComparison | None

    missed: tuple[str, ...]
    """The goals that were not reached; none where no goal applies."""


def summarize_all(measurements: Sequence[Measured]) -> list[JobSummary]:
    """Return the figures of all jobs, each beside the same one in fp32 where that was measured."""
    return [summarize(each, in_fp32=_in_fp32(each.job, measurements)) for each in measurements]


def summarize(measured: Measured, *, in_fp32: Measured | None = None) -> JobSummary:
    """Return the figures of a job."""
    rounds = measured.rounds
    agreement = min((each.agreement for each in rounds), key=_agreed)
    lm_eval = _side([each.lm_eval for each in rounds], agreement.questions)
    modeltest = _side([each.modeltest for each in rounds], agreement.questions)
    speed_ups = [each.lm_eval.evaluate_s / each.modeltest.evaluate_s for each in rounds]
    floors = [each.floor for each in rounds]
    found = JobSummary(
        lm_eval=lm_eval,
        modeltest=modeltest,
        speed_up=median(speed_ups),
        lowest_speed_up=min(speed_ups),
        memory_share=modeltest.peak_bytes / lm_eval.peak_bytes,
        dtype_gain=_median_s(in_fp32) / modeltest.evaluate_s if in_fp32 else None,
        floor_s=median(floor["floor_s"] for floor in floors),
        over_floor=median(each.modeltest.evaluate_s / each.floor["floor_s"] for each in rounds),
        floor_gflop_per_s=median(floor["floor_gflop_per_s"] for floor in floors),
        modeltest_gflop_per_s=_gflop_per_s(measured, modeltest),
        square_gflop_per_s=max(floor["square_gflop_per_s"] for floor in floors),
        layer_gflop_per_s=max(floor["layer_gflop_per_s"] for floor in floors),
        prompt_tokens=int(floors[0]["prompt_tokens"]),
        unique_tokens=int(floors[0]["unique_tokens"]),
        floor={name: median(floor[name] for floor in floors) for name in floors[0]},
        agreement=agreement,
        shifts=measured.shifts,
        missed=(),
    )
    return replace(found, missed=_missed(measured.job, found))


def _in_fp32(job: Job, measurements: Sequence[Measured]) -> Measured | None:
    if job.dtype == "fp32":
        return None
    wanted = (job.work, job.model, job.questions, "fp32")
    same = (
        each
        for each in measurements
        if (each.job.work, each.job.model, each.job.questions, each.job.dtype) == wanted
    )
    return next(same, None)


def _median_s(measured: Measured) -> float:
    return median(each.modeltest.evaluate_s for each in measured.rounds)


def _agreed(found: Agreement | TextAgreement) -> tuple[float, ...]:
    closeness = -found.largest_difference if isinstance(found, Agreement) else 0.0
    return (found.equal_answers, found.equal_prompts, closeness)


def _gflop_per_s(measured: Measured, modeltest: SideSummary) -> float | None:
    floor = measured.rounds[0].floor
    if measured.job.work.generates:
        return None
    return floor["floor_gflop_per_s"] * floor["floor_s"] / modeltest.evaluate_s


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


def _missed(job: Job, found: JobSummary) -> tuple[str, ...]:
    agreement, goal = found.agreement, job.goal
    missed = []
    if agreement.equal_prompts != agreement.questions:
        missed.append(f"prompts {agreement.equal_prompts} of {agreement.questions}")
    if job.is_exact and agreement.equal_answers != agreement.questions:
        missed.append(f"answers {agreement.equal_answers} of {agreement.questions}")
    if found.shifts and found.shifts.are_larger:
        missed.append(f"shifts larger than lm-eval's, p = {found.shifts.p_value:.1g}")
    if goal and found.speed_up < goal.speed_up:
        missed.append(f"time {found.speed_up:.1f}x < {goal.speed_up:g}x")
    if goal and found.memory_share > goal.memory_share:
        missed.append(f"memory {found.memory_share:.2f} > {goal.memory_share:.2f}")
    if goal and goal.over_floor is not None and found.over_floor > goal.over_floor:
        missed.append(f"floor {found.over_floor:.2f}x > {goal.over_floor:g}x")
    if goal and _is_below(found.dtype_gain, goal.dtype_gain):
        missed.append(f"over fp32 {found.dtype_gain:.1f}x < {goal.dtype_gain:g}x")
    return tuple(missed)


def _is_below(reached: float | None, wanted: float | None) -> bool:
    # Without the job in fp32 it is not known, and nothing is missed.
    return reached is not None and wanted is not None and reached < wanted
