"""Every output token of a timed run as a row: the columns of `token_latency.csv` and of the data frame.

- `input_tokens`, `output_tokens`: the case as it was asked for
- `batch_size`; `phase`: warmup or measure; `trial`: number within case and batch size; `request_id`
- `token_index`: 0 for the first output token of the request
- `step_tokens`: output tokens the request received at the same instant, this one included
- `time_ns`: from the submission of the batch until the token was on the host
- `gap_ms`: since the token before it in the same request; `None` for the first
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from modeltest.api import Completion, Measurement, RunResult

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


def token_rows(result: RunResult) -> Iterator[tuple[object, ...]]:
    """Yield a row for each output token of every trial of `result`, without those of requests that failed."""
    for measurement in result.measurements:
        yield from _rows(measurement, result)


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
