"""Names, units and formulas of the latency metrics: what a reader of a report relies on.

In the formulas t[r][i] is the time from the submission of the batch until output token i of row r was on the
host, N[r] the number of token ids of row r, N the largest of them and B the batch size. Each is computed for
one trial.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class MetricDefinition:
    """What a metric is called, what it is counted in and how it is computed."""

    name: str
    unit: str
    formula: str
    higher_is_better: bool = False


METRIC_DEFINITIONS = (
    MetricDefinition("ttft_ms", "ms", "median over rows of t[r][0]"),
    MetricDefinition("tpot_ms", "ms", "median over rows of (t[r][last] - t[r][0]) / (N[r] - 1)"),
    MetricDefinition("itl_ms", "ms", "median over rows and tokens of t[r][i] - t[r][i-1]"),
    MetricDefinition("e2e_s", "s", "max over rows of t[r][last]"),
    MetricDefinition(
        "output_tokens_per_s", "tokens/s", "sum over rows of N[r] / e2e_s", higher_is_better=True
    ),
    MetricDefinition("decode_tokens_per_s", "tokens/s", "B * 1000 / tpot_ms", higher_is_better=True),
    MetricDefinition("prefill_total_ms", "ms", "max over rows of t[r][0]"),
    MetricDefinition("prefill_average_ms", "ms", "prefill_total_ms / B"),
    MetricDefinition(
        "non_first_token_ms", "ms", "(max over rows of t[r][last] - max over rows of t[r][0]) / (N - 1)"
    ),
)
