"""From measurements to the summary of one case at one batch size, with its verdict."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from modeltest.api import Case, CaseSummary, Completion, Distribution, Measurement, TrialPrompts, Verdict
from modeltest.metrics import METRICS, gaps_ns
from modeltest.statistics import distribution
from modeltest.tasks.prompt_sources import summarize_prompts
from modeltest.tasks.shapes import Combination

WARMUP = "warmup"
MEASURE = "measure"

NOISY_CV = 0.05
"""Above this coefficient of variation of TPOT or E2E a case is NOISY."""

_WATCHED = {"tpot_ms": "TPOT", "e2e_s": "E2E"}


@dataclass(frozen=True, slots=True)
class TrialReading:
    """What the summary needs of one measurement; its completions can be forgotten.

    `has_failed` means that nothing was timed; a reading may have problems and still have values.
    """

    trial: int
    phase: str
    values: Mapping[str, float | None]
    peak_memory_bytes: int | None
    problems: tuple[str, ...]
    has_failed: bool
    out_of_memory: bool
    prompts: TrialPrompts | None = None


def read_trial(measurement: Measurement, case: Case) -> TrialReading:
    """Return the metrics of one trial of `case` and everything that is wrong with it."""
    rows = measurement.completions
    return TrialReading(
        trial=measurement.trial,
        phase=measurement.phase,
        values={metric.definition.name: metric.compute(measurement) for metric in METRICS},
        peak_memory_bytes=measurement.peak_memory_bytes,
        problems=tuple(
            f"{measurement.phase} trial {measurement.trial}: {problem}"
            for problem in _problems(measurement, case.output_tokens)
        ),
        has_failed=measurement.error is not None
        or measurement.out_of_memory
        or not rows
        or any(row.error is not None for row in rows),
        out_of_memory=measurement.out_of_memory,
        prompts=measurement.prompts,
    )


def read_trials(
    measurements: Iterable[Measurement], cases: Sequence[Case]
) -> dict[tuple[int, int], tuple[TrialReading, ...]]:
    """Return the readings by (case index, batch size), both in the order of measurement.

    A trial that was measured again, after a restart, counts once: the last time.
    """
    readings: dict[tuple[int, int], dict[int, TrialReading]] = {}
    for measurement in measurements:
        trials = readings.setdefault((measurement.case_index, measurement.batch_size), {})
        trials[measurement.trial] = read_trial(measurement, cases[measurement.case_index])
    return {key: tuple(trials.values()) for key, trials in readings.items()}


def summarize_case(
    combination: Combination, readings: Sequence[TrialReading], *, expected_trials: int, absence: str = ""
) -> CaseSummary:
    """Return the distributions over the measured trials and what they are worth.

    `absence` says why there may be no readings.
    """
    timed = [reading for reading in readings if not reading.has_failed]
    measured = [reading for reading in timed if reading.phase == MEASURE]
    metrics = {metric.definition.name: _distribution(metric.definition.name, measured) for metric in METRICS}
    faults = [problem for reading in readings for problem in reading.problems]
    if len(measured) < expected_trials and not faults:
        faults = [
            absence or f"{len(measured)} of {expected_trials} trials were measured: the run was cut short"
        ]
    noise = _noise(metrics)
    peaks = [reading.peak_memory_bytes for reading in readings if reading.peak_memory_bytes is not None]
    return CaseSummary(
        case=combination.case,
        batch_size=combination.batch_size,
        trials=len(measured),
        warmup_trials=len(timed) - len(measured),
        metrics=metrics,
        peak_memory_bytes=max(peaks, default=None),
        verdict=Verdict.INVALID if faults else Verdict.NOISY if noise else Verdict.VALID,
        reasons=(*faults, *noise),
        prompts=summarize_prompts(reading.prompts for reading in measured or readings),
    )


def is_finished(readings: Sequence[TrialReading], expected_trials: int) -> bool:
    """Say whether no trial is left to run: all were, or one failed."""
    measured = sum(reading.phase == MEASURE for reading in readings)
    return measured >= expected_trials or any(reading.has_failed for reading in readings)


def _distribution(name: str, readings: Sequence[TrialReading]) -> Distribution:
    return distribution([value for reading in readings if (value := reading.values[name]) is not None])


def _noise(metrics: Mapping[str, Distribution]) -> tuple[str, ...]:
    return tuple(
        f"{title} varies too much between trials: CV {cv:.1%} over {metrics[name].n} trials, "
        f"at most {NOISY_CV:.0%} is allowed"
        for name, title in _WATCHED.items()
        if (cv := metrics[name].cv) is not None and cv > NOISY_CV
    )


def _problems(measurement: Measurement, output_tokens: int) -> list[str]:
    rows = measurement.completions
    if measurement.out_of_memory:
        return [f"batch {measurement.batch_size} ran out of memory"]
    if measurement.error is not None:
        return [measurement.error]
    if len(rows) != measurement.batch_size:
        return [f"{len(rows)} of {measurement.batch_size} rows came back"]
    failed = [row for row in rows if row.error is not None]
    if failed:
        return [f"{len(failed)} of {len(rows)} rows failed, the first with: {failed[0].error}"]
    return _token_problems(rows, output_tokens) + (
        ["token times run backwards"] if any(gap < 0 for gap in gaps_ns(measurement)) else []
    )


def _token_problems(rows: Sequence[Completion], output_tokens: int) -> list[str]:
    counts = [len(row.output_tokens) for row in rows]
    wrong = [count for count in counts if count != output_tokens]
    untimed = sum(len(row.token_times_ns) != count for row, count in zip(rows, counts, strict=True))
    problems = []
    if wrong:
        problems.append(
            f"{len(wrong)} of {len(rows)} rows did not give the {output_tokens} tokens asked for, "
            f"the first gave {wrong[0]}"
        )
    if untimed:
        problems.append(f"{untimed} of {len(rows)} rows do not have one time per token")
    return problems
