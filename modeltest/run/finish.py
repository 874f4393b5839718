"""From a finished journal to summary, verdict and report files; the same for a run and `modeltest report`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from modeltest import registry
from modeltest.api import (
    AccuracySummary,
    AccuracyTask,
    MeasurementTask,
    ModelTestError,
    PerformanceSummary,
    RunResult,
    Summary,
    Verdict,
)
from modeltest.data.card import load_card
from modeltest.run.directory import write_result

_WORST_FIRST = (Verdict.INVALID, Verdict.NOISY, Verdict.VALID)


def finish(result: RunResult, directory: Path) -> RunResult:
    """Summarize `result` from its journal, write `run.json` and every report, and return it completed.

    Raises: PrerequisiteError when a file cannot be written.
    """
    summary = summarize(result)
    verdict, reasons = judge(summary)
    result = replace(result, summary=summary, verdict=verdict, reasons=reasons)
    write_result(directory, result)
    write_reports(result, directory)
    return result


def summarize(result: RunResult) -> Summary:
    """Return the headline numbers of the journalled samples or measurements."""
    task = registry.load_task(result.spec.task)
    if isinstance(task, AccuracyTask):
        return task.summarize(result.samples, _subjects(task.dataset))
    if isinstance(task, MeasurementTask):
        return task.summarize_measurements(result.measurements, result.spec)
    raise ModelTestError(f"task {task.name!r} summarizes nothing")


def judge(summary: Summary) -> tuple[Verdict, tuple[str, ...]]:
    """Return whether the numbers may be used, and why not."""
    if isinstance(summary, AccuracySummary):
        if summary.failed:
            return Verdict.INVALID, (f"{summary.failed} of {summary.micro.total} questions failed",)
        if not summary.micro.total:
            return Verdict.INVALID, ("no question was asked",)
        return Verdict.VALID, ()
    if isinstance(summary, PerformanceSummary):
        verdicts = [case.verdict for case in summary.cases] or [Verdict.INVALID]
        reasons = tuple(
            f"{case.case.input_tokens}x{case.case.output_tokens} batch {case.batch_size}: {reason}"
            for case in summary.cases
            for reason in case.reasons
        )
        return min(verdicts, key=_WORST_FIRST.index), reasons
    return Verdict.VALID, ()


def write_reports(result: RunResult, directory: Path) -> tuple[Path, ...]:
    """Write every report that has something to say of `result` and return the files' paths."""
    return tuple(
        path
        for report in registry.reports()
        if report.accepts(result)
        for path in report.write(result, directory)
    )


def _subjects(dataset: str) -> Mapping[str, Mapping[str, str]]:
    return load_card(dataset).subjects
