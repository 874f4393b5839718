"""What is read from the measurement of one trial: its metrics and everything that is wrong with it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from modeltest.api import Case, Completion, Finding, FindingCode, Measurement, TrialPrompts
from modeltest.metrics import METRICS, gaps_ns, tokens_together

WARMUP = "warmup"
MEASURE = "measure"
BARE = "bare"
"""The phase of trials of which only the end is timed."""

_NS_PER_S = 1e9


@dataclass(frozen=True, slots=True)
class TrialReading:
    """What the summary needs of one measurement; its completions can be forgotten.

    `has_failed` means that nothing was timed; a reading may have problems and still have values. `elapsed_s`
    is the time from submission to the last token, of a bare trial too.
    """

    trial: int
    phase: str
    values: Mapping[str, float | None]
    elapsed_s: float | None
    peak_memory_bytes: int | None
    peak_host_memory_bytes: int | None
    problems: tuple[Finding, ...]
    has_failed: bool
    out_of_memory: bool
    prompts: TrialPrompts | None = None
    tokens: int = 0
    together: int = 0
    """Of all `tokens`, those that came at the very time of the one before them."""


def read_trial(measurement: Measurement, case: Case) -> TrialReading:
    """Return the metrics of one trial of `case` and everything that is wrong with it."""
    rows = measurement.completions
    values = {metric.definition.name: metric.compute(measurement) for metric in METRICS}
    return TrialReading(
        trial=measurement.trial,
        phase=measurement.phase,
        values=values,
        elapsed_s=_bare_s(rows) if measurement.phase == BARE else values["e2e_s"],
        peak_memory_bytes=measurement.peak_memory_bytes,
        peak_host_memory_bytes=measurement.peak_host_memory_bytes,
        problems=tuple(
            Finding(
                FindingCode.IN_TRIAL,
                {"phase": measurement.phase, "trial": measurement.trial, "about": problem},
            )
            for problem in _problems(measurement, case.output_tokens)
        ),
        has_failed=measurement.error is not None
        or measurement.out_of_memory
        or not rows
        or any(row.error is not None for row in rows),
        out_of_memory=measurement.out_of_memory,
        prompts=measurement.prompts,
        tokens=sum(len(row.token_times_ns) for row in rows),
        together=tokens_together(measurement),
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


def of_phase(phase: str, readings: Iterable[TrialReading]) -> list[TrialReading]:
    """Return the readings of trials of `phase` that were timed."""
    return [reading for reading in readings if reading.phase == phase and not reading.has_failed]


def values_of(name: str, readings: Iterable[TrialReading]) -> list[float]:
    """Return the values of one metric, in the order of the trials, where it is defined."""
    return [value for reading in readings if (value := reading.values[name]) is not None]


def _bare_s(rows: Sequence[Completion]) -> float | None:
    return max((row.end_ns for row in rows if row.end_ns is not None), default=0) / _NS_PER_S or None


def _problems(measurement: Measurement, output_tokens: int) -> list[Finding]:
    rows = measurement.completions
    if measurement.out_of_memory:
        return [Finding(FindingCode.BATCH_OUT_OF_MEMORY, {"batch_size": measurement.batch_size})]
    if measurement.error is not None:
        return [Finding(FindingCode.TEXT, {"text": measurement.error})]
    if len(rows) != measurement.batch_size:
        counts = {"rows": len(rows), "batch_size": measurement.batch_size}
        return [Finding(FindingCode.ROWS_MISSING, counts)]
    failed = [row for row in rows if row.error is not None]
    if failed:
        values = {"failed": len(failed), "rows": len(rows), "error": failed[0].error}
        return [Finding(FindingCode.ROWS_FAILED, values)]
    problems = _length_problems(rows, output_tokens)
    if measurement.phase == BARE:
        return problems + _end_problems(rows)
    return problems + _time_problems(measurement)


def _length_problems(rows: Sequence[Completion], output_tokens: int) -> list[Finding]:
    wrong = [row.output_length for row in rows if row.output_length != output_tokens]
    if not wrong:
        return []
    return [
        Finding(
            FindingCode.ROWS_OF_WRONG_LENGTH,
            {"wrong": len(wrong), "rows": len(rows), "wanted": output_tokens, "first": wrong[0]},
        )
    ]


def _time_problems(measurement: Measurement) -> list[Finding]:
    rows = measurement.completions
    untimed = sum(len(row.token_times_ns) != row.output_length for row in rows)
    problems = []
    if untimed:
        problems.append(Finding(FindingCode.ROWS_UNTIMED, {"untimed": untimed, "rows": len(rows)}))
    if any(gap < 0 for gap in gaps_ns(measurement)):
        problems.append(Finding(FindingCode.TIMES_BACKWARDS))
    return problems


def _end_problems(rows: Sequence[Completion]) -> list[Finding]:
    untimed = sum(row.end_ns is None or bool(row.token_times_ns) for row in rows)
    if not untimed:
        return []
    return [Finding(FindingCode.ROWS_WITHOUT_END_ALONE, {"untimed": untimed, "rows": len(rows)})]
