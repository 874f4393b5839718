"""`performance.json`: the distributions of every metric, or the answers of a max-batch search."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from modeltest.api import (
    METRIC_DEFINITIONS,
    CaseSummary,
    MaxBatchCase,
    MaxBatchSummary,
    PerformanceSummary,
    RunResult,
)
from modeltest.machine.files import write_json
from modeltest.plain.contracts import to_plain
from modeltest.present import timed_cases
from reports.kind_report import KindReport
from reports.run_header import describe_prompts, describe_run

FORMAT_VERSION = 1

TimedSummary = PerformanceSummary | MaxBatchSummary

_CONDITIONS = (
    "processor",
    "cpus",
    "cpus_online",
    "sockets",
    "cpu_governor",
    "load_1min",
    "memory_bytes",
    "memory_available_bytes",
    "swap_used_bytes",
)


class PerformanceJson(KindReport[TimedSummary]):
    """Writes `performance.json`; its fields are described in `schemas/performance.schema.json`."""

    name = "performance"
    summaries = (PerformanceSummary, MaxBatchSummary)

    def write_summary(self, result: RunResult, summary: TimedSummary, directory: Path) -> Sequence[Path]:
        """Write the file and return its path."""
        path = directory / "performance.json"
        write_json(path, describe_performance(result, summary))
        return (path,)


def describe_performance(result: RunResult, summary: TimedSummary) -> dict[str, object]:
    """Return the content of `performance.json`; of `cases` and `max_batch` only one has entries."""
    used = {name for case in timed_cases(summary) for name in case.metrics}
    return {
        "format_version": FORMAT_VERSION,
        **describe_run(result),
        "prompts": describe_prompts(result),
        "warnings": list(result.warnings),
        "warning_codes": to_plain(result.warning_codes),
        "conditions": _describe_conditions(result),
        "metrics": {
            definition.name: {"unit": definition.unit, "formula": definition.formula}
            for definition in METRIC_DEFINITIONS
            if definition.name in used
        },
        "cases": [_describe_case(case) for case in summary.cases if isinstance(case, CaseSummary)],
        "max_batch": [_describe_search(case) for case in summary.cases if isinstance(case, MaxBatchCase)],
    }


def _describe_conditions(result: RunResult) -> dict[str, object]:
    engine = result.engine
    return {
        **{name: result.machine.get(name) for name in _CONDITIONS},
        "processors": to_plain(engine.processors) if engine else None,
        "work": to_plain(engine.work) if engine else None,
        "peaks": to_plain(engine.peaks) if engine else None,
    }


def _describe_case(summary: CaseSummary) -> dict[str, object]:
    return {
        "input_tokens": summary.case.input_tokens,
        "output_tokens": summary.case.output_tokens,
        "batch_size": summary.batch_size,
        "verdict": summary.verdict.value,
        "reasons": list(summary.reasons),
        "reason_codes": to_plain(summary.reason_codes),
        "notes": list(summary.notes),
        "note_codes": to_plain(summary.note_codes),
        "trials": summary.trials,
        "warmup_trials": summary.warmup_trials,
        "peak_memory_bytes": summary.peak_memory_bytes,
        "prompts": to_plain(summary.prompts),
        "peak_host_memory_bytes": summary.peak_host_memory_bytes,
        "overhead": to_plain(summary.overhead),
        "achieved": to_plain(summary.achieved),
        "drift": to_plain(summary.drift),
        "metrics": to_plain(summary.metrics),
    }


def _describe_search(search: MaxBatchCase) -> dict[str, object]:
    return {
        "input_tokens": search.case.input_tokens,
        "output_tokens": search.case.output_tokens,
        "lowest": search.lowest,
        "highest": search.highest,
        "limit_ms": search.limit_ms,
        "status": search.status.value,
        "reason": search.reason,
        "reason_code": to_plain(search.reason_code),
        "max_batch": search.max_batch,
        "latency_ms": search.latency_ms,
        "high_ms": search.high_ms,
        "bound": search.bound,
        "verdict": search.verdict.value,
        "reasons": list(search.reasons),
        "reason_codes": to_plain(search.reason_codes),
        "probes": to_plain(search.probes),
        "measured": [_describe_case(case) for case in search.measured],
        "line": to_plain(search.line),
    }
