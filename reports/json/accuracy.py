"""`accuracy.json`: the accuracy of a run with everything needed to compare and reproduce it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from modeltest.api import AccuracySummary, RunResult
from modeltest.machine.files import write_json
from modeltest.plain.contracts import to_plain
from reports.kind_report import KindReport
from reports.run_header import describe_dataset, describe_run

FORMAT_VERSION = 1


class AccuracyJson(KindReport[AccuracySummary]):
    """Writes `accuracy.json`; its fields are described in `schemas/accuracy.schema.json`."""

    name = "accuracy"
    summaries = (AccuracySummary,)

    def write_summary(self, result: RunResult, summary: AccuracySummary, directory: Path) -> Sequence[Path]:
        """Write the file and return its path."""
        path = directory / "accuracy.json"
        write_json(path, describe_accuracy(result, summary))
        return (path,)


def describe_accuracy(result: RunResult, summary: AccuracySummary) -> dict[str, object]:
    """Return the content of `accuracy.json`."""
    return {
        "format_version": FORMAT_VERSION,
        "accuracy": summary.micro.accuracy,
        "standard_error": summary.micro.standard_error,
        "interval_95": _interval(summary),
        "correct": summary.micro.correct,
        "total": summary.micro.total,
        "failed": summary.failed,
        "no_answer": summary.no_answer,
        "truncated": summary.truncated,
        "dropped_shots": summary.dropped_shots,
        "cut_prompts": summary.cut_prompts,
        **describe_run(result),
        "protocol": {
            "name": result.spec.protocol,
            "version": result.protocol_version,
            "shots": result.spec.options.shots,
            "chat": result.spec.chat,
            "prompts_sha256": summary.prompts_sha256,
        },
        "dataset": describe_dataset(result.dataset),
        "micro": to_plain(summary.micro),
        "macro": summary.macro,
        "subjects": to_plain(summary.subjects),
        "categories": to_plain(summary.categories),
        "groups": to_plain(summary.groups),
        "near_ties": {
            "margin": summary.near_tie_margin,
            "count": len(summary.near_ties),
            "ids": list(summary.near_ties),
        },
    }


def _interval(summary: AccuracySummary) -> list[float] | None:
    low, high = summary.micro.low, summary.micro.high
    return None if low is None or high is None else [low, high]
