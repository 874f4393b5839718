"""`precision.json`: the greedy output of every prompt, token by token, to be compared with another run's."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from modeltest.api import PrecisionOutput, PrecisionSummary, RunResult
from modeltest.machine.files import write_json
from modeltest.plain.contracts import to_plain
from reports.kind_report import KindReport
from reports.run_header import describe_prompts, describe_run

FORMAT_VERSION = 1


class PrecisionJson(KindReport[PrecisionSummary]):
    """Writes `precision.json`; its fields are described in `schemas/precision.schema.json`."""

    name = "precision"
    summaries = (PrecisionSummary,)

    def write_summary(self, result: RunResult, summary: PrecisionSummary, directory: Path) -> Sequence[Path]:
        """Write the file and return its path."""
        path = directory / "precision.json"
        write_json(path, describe_precision(result, summary))
        return (path,)


def describe_precision(result: RunResult, summary: PrecisionSummary) -> dict[str, object]:
    """Return the content of `precision.json`."""
    return {
        "format_version": FORMAT_VERSION,
        **describe_run(result),
        "prompts": describe_prompts(result),
        "outputs": [_describe_output(output) for output in summary.outputs],
    }


def _describe_output(output: PrecisionOutput) -> dict[str, object]:
    return {
        "input_tokens": output.case.input_tokens,
        "output_tokens": output.case.output_tokens,
        "batch_size": output.batch_size,
        "prompt": output.prompt,
        "verdict": output.verdict.value,
        "reasons": list(output.reasons),
        "reason_codes": to_plain(output.reason_codes),
        "rows": output.rows,
        "rows_that_differ": output.rows_that_differ,
        "first_difference": to_plain(output.first_difference),
        "prompt_token_ids": list(output.prompt_tokens),
        "output_token_ids": list(output.output_tokens),
        "output_logprobs": None if output.logprobs is None else list(output.logprobs),
        "text": output.text,
    }
