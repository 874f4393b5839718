"""The latency metrics: one short function for each of `METRIC_DEFINITIONS`.

Every function takes one `Measurement`, a timed batch, and returns one number or `None` where it is undefined.
A row without token times (a failed request) makes every metric of its batch undefined.

Source: TTFT, TPOT and ITL as in MLPerf Inference and the serving benchmarks of vLLM; the three legacy metrics
as the benchmark file of the Ascend `PARunner` defines them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from statistics import median

from modeltest.api import METRIC_DEFINITIONS, Measurement, MetricDefinition

_NS_PER_MS = 1e6
_NS_PER_S = 1e9


@dataclass(frozen=True, slots=True)
class Metric:
    """A definition and the function that computes it."""

    definition: MetricDefinition
    compute: Callable[[Measurement], float | None]


def ttft_ms(measurement: Measurement) -> float | None:
    """Return the time to first token: the median over rows."""
    if not _is_timed(measurement):
        return None
    return median(row.token_times_ns[0] for row in measurement.completions) / _NS_PER_MS


def tpot_ms(measurement: Measurement) -> float | None:
    """Return the time per output token after the first: the median over rows; needs two tokens in each."""
    if not _is_decoded(measurement):
        return None
    rows = (row.token_times_ns for row in measurement.completions)
    return median((times[-1] - times[0]) / (len(times) - 1) for times in rows) / _NS_PER_MS


def itl_ms(measurement: Measurement) -> float | None:
    """Return the inter-token latency: the median over all gaps of all rows.

    Where tokens of a row came together, in one piece of a stream, when each was made is not known.
    """
    if not _is_decoded(measurement) or tokens_together(measurement):
        return None
    return median(gaps_ns(measurement)) / _NS_PER_MS


def e2e_s(measurement: Measurement) -> float | None:
    """Return the time from submission to the last token of the batch."""
    return _last_token_ns(measurement) / _NS_PER_S if _is_timed(measurement) else None


def output_tokens_per_s(measurement: Measurement) -> float | None:
    """Return the output tokens of the whole batch per second of E2E time."""
    seconds = e2e_s(measurement)
    return sum(len(row.token_times_ns) for row in measurement.completions) / seconds if seconds else None


def decode_tokens_per_s(measurement: Measurement) -> float | None:
    """Return the output tokens per second of a batch that only decodes."""
    step_ms = tpot_ms(measurement)
    return measurement.batch_size * 1000 / step_ms if step_ms else None


def prefill_total_ms(measurement: Measurement) -> float | None:
    """Return the time of all prefill steps of the batch: until its last row has a first token."""
    return _last_first_token_ns(measurement) / _NS_PER_MS if _is_timed(measurement) else None


def prefill_average_ms(measurement: Measurement) -> float | None:
    """Return the prefill time per row."""
    total_ms = prefill_total_ms(measurement)
    return total_ms / measurement.batch_size if total_ms is not None else None


def non_first_token_ms(measurement: Measurement) -> float | None:
    """Return the time of all decode steps of the batch per token after the first."""
    if not _is_decoded(measurement):
        return None
    steps = max(len(row.token_times_ns) for row in measurement.completions) - 1
    return (_last_token_ns(measurement) - _last_first_token_ns(measurement)) / steps / _NS_PER_MS


def gaps_ns(measurement: Measurement) -> Iterator[int]:
    """Yield the raw gap before every token but the first of its row, row by row."""
    for row in measurement.completions:
        for earlier, later in pairwise(row.token_times_ns):
            yield later - earlier


def tokens_together(measurement: Measurement) -> int:
    """Return how many tokens came at the very time of the one before them in their row."""
    return sum(gap == 0 for gap in gaps_ns(measurement))


_COMPUTE: dict[str, Callable[[Measurement], float | None]] = {
    "ttft_ms": ttft_ms,
    "tpot_ms": tpot_ms,
    "itl_ms": itl_ms,
    "e2e_s": e2e_s,
    "output_tokens_per_s": output_tokens_per_s,
    "decode_tokens_per_s": decode_tokens_per_s,
    "prefill_total_ms": prefill_total_ms,
    "prefill_average_ms": prefill_average_ms,
    "non_first_token_ms": non_first_token_ms,
}

METRICS = tuple(Metric(definition, _COMPUTE[definition.name]) for definition in METRIC_DEFINITIONS)


def _is_timed(measurement: Measurement) -> bool:
    rows = measurement.completions
    return bool(rows) and all(row.token_times_ns and row.error is None for row in rows)


def _is_decoded(measurement: Measurement) -> bool:
    return _is_timed(measurement) and all(len(row.token_times_ns) > 1 for row in measurement.completions)


def _last_token_ns(measurement: Measurement) -> int:
    return max(row.token_times_ns[-1] for row in measurement.completions)


def _last_first_token_ns(measurement: Measurement) -> int:
    return max(row.token_times_ns[0] for row in measurement.completions)
