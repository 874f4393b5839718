"""A result in one line: what ran on what, and its most telling numbers."""

from __future__ import annotations

from modeltest.api import (
    AccuracySummary,
    GenerationSummary,
    HarnessSummary,
    MaxBatchSummary,
    PerformanceSummary,
    PrecisionOutput,
    PrecisionSummary,
    RunResult,
)
from modeltest.run.record.directory import COMPLETE
from modeltest.tables.cells import accuracy, beginning, median, number, shape


def title_of(result: RunResult) -> str:
    """Return what ran on what, in one line."""
    where = (
        f"{result.engine.engine} on {result.engine.device} in {result.engine.dtype}" if result.engine else ""
    )
    shots = result.spec.options.shots
    details = [result.spec.mode] + ([f"{shots} shots"] if shots is not None else [])
    name, quantize = result.model.label, result.model.quantize
    unfinished = "" if result.status == COMPLETE else f"{result.status.upper()}: "
    return (
        f"{unfinished}{', '.join(details)}: {name}{f', {quantize} weights,' if quantize else ''} with {where}"
    )


def headline(result: RunResult) -> str:
    """Return the most telling numbers of `result` in one line."""
    summary = result.summary
    if isinstance(summary, AccuracySummary):
        return f"accuracy {accuracy(summary.micro)} ({summary.micro.correct}/{summary.micro.total})"
    if isinstance(summary, PerformanceSummary):
        return "; ".join(
            f"{shape(case.case)} batch {case.batch_size}: TTFT {median(case, 'ttft_ms')} ms, "
            f"TPOT {median(case, 'tpot_ms')} ms"
            for case in summary.cases
        )
    if isinstance(summary, MaxBatchSummary):
        return "; ".join(
            f"{shape(case.case)}: max batch {case.max_batch} "
            f"({case.status.value}) within {case.limit_ms:g} ms, {case.reason}"
            for case in summary.cases
        )
    if isinstance(summary, PrecisionSummary):
        return "; ".join(_output_line(output) for output in summary.outputs)
    if isinstance(summary, GenerationSummary):
        return f"{len(summary.texts)} of {summary.expected} prompts"
    if isinstance(summary, HarnessSummary):
        return "; ".join(f"{one.task} {one.metric} {number(one.value)}" for one in summary.metrics)
    return result.status


def _output_line(output: PrecisionOutput) -> str:
    return f"{shape(output.case)} batch {output.batch_size}, prompt {output.prompt}: {beginning(output)}"
