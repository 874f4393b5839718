"""`token_latency.csv`: every token of every trial, warm-up included, for whoever wants to count again.

One row per output token. Columns, stable and without padding:
- `input_tokens`, `output_tokens`: the case as it was asked for
- `batch_size`; `phase`: warmup or measure; `trial`: number within case and batch size; `request_id`
- `token_index`: 0 for the first output token of the request
- `step_tokens`: output tokens the request received at the same instant, this one included
- `time_ns`: from the submission of the batch until the token was on the host
- `gap_ms`: since the token before it in the same request; empty for the first
"""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from modeltest.api import Completion, Measurement, PrecisionSummary, RunResult
from modeltest.machine.files import open_atomic

COLUMNS = (
    "input_tokens",
    "output_tokens",
    "batch_size",
    "phase",
    "trial",
    "request_id",
    "token_index",
    "step_tokens",
    "time_ns",
    "gap_ms",
)

_NS_PER_MS = 1e6


class TokenLatencyCsv:
    """Writes `token_latency.csv`, one measurement at a time."""

    name = "token_latency"

    def accepts(self, result: RunResult) -> bool:
        """Say whether the run timed anything, finished or not."""
        if isinstance(result.summary, PrecisionSummary):
            return False
        return next(iter(result.measurements), None) is not None

    def write(self, result: RunResult, directory: Path) -> Sequence[Path]:
        """Write the file and return its path.

        Raises: PrerequisiteError when it cannot be written.
        """
        path = directory / "token_latency.csv"
        with open_atomic(path) as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(COLUMNS)
            for measurement in result.measurements:
                writer.writerows(_rows(measurement, result))
        return (path,)


def _rows(measurement: Measurement, result: RunResult) -> Iterator[tuple[object, ...]]:
    case = result.spec.cases[measurement.case_index]
    shared = (
        case.input_tokens,
        case.output_tokens,
        measurement.batch_size,
        measurement.phase,
        measurement.trial,
    )
    for completion in measurement.completions:
        if completion.error is None:
            for token in _tokens(completion):
                yield (*shared, completion.request_id, *token)


def _tokens(completion: Completion) -> Iterator[tuple[int, int, int, float | None]]:
    times_ns = completion.token_times_ns
    at_once = Counter(times_ns)
    for index, time_ns in enumerate(times_ns):
        gap_ms = (time_ns - times_ns[index - 1]) / _NS_PER_MS if index else None
        yield index, at_once[time_ns], time_ns, gap_ms
