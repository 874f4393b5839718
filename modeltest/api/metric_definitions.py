"""What the metrics in a report mean, for its reader.

A report knows nothing of the code that computes them; a test holds the two together.
"""

from __future__ import annotations

METRIC_DEFINITIONS: dict[str, dict[str, str]] = {
    "ttft_ms": {"unit": "ms", "formula": "median over rows of t[r][0]"},
    "tpot_ms": {"unit": "ms", "formula": "median over rows of (t[r][last] - t[r][0]) / (N[r] - 1)"},
    "itl_ms": {"unit": "ms", "formula": "median over rows and tokens of t[r][i] - t[r][i-1]"},
    "e2e_s": {"unit": "s", "formula": "max over rows of t[r][last]"},
    "output_tokens_per_s": {"unit": "tokens/s", "formula": "sum over rows of N[r] / e2e_s"},
    "decode_tokens_per_s": {"unit": "tokens/s", "formula": "B * 1000 / tpot_ms"},
    "prefill_total_ms": {"unit": "ms", "formula": "max over rows of t[r][0]"},
    "prefill_average_ms": {"unit": "ms", "formula": "prefill_total_ms / B"},
    "non_first_token_ms": {
        "unit": "ms",
        "formula": "(max over rows of t[r][last] - max over rows of t[r][0]) / (N - 1)",
    },
}
"""Unit and formula by metric name, for one trial. t[r][i]: time from submission of the batch to output token
i of row r; N[r]: tokens of row r, N the largest of them; B: batch size."""
