"""The numbers of a run: their names, units and formulas, and which way is better. What a reader relies on.

In the formulas t[r][i] is the time from the submission of the batch until output token i of row r was on the
host, N[r] the number of token ids of row r, N the largest of them and B the batch size. Each is computed for
one trial.
"""

from __future__ import annotations

from collections.abc import Mapping
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

HIGHER = "higher"
LOWER = "lower"


@dataclass(frozen=True, slots=True)
class Family:
    """What the numbers of one name are counted in, and which way is better: HIGHER, LOWER or neither."""

    unit: str
    better: str | None


FAMILIES: Mapping[str, Family] = {
    "accuracy": Family("ratio", HIGHER),
    "accuracy_macro": Family("ratio", HIGHER),
    "questions": Family("questions", None),
    "failed_questions": Family("questions", LOWER),
    "no_answer": Family("questions", LOWER),
    "truncated": Family("questions", LOWER),
    "dropped_shots": Family("questions", LOWER),
    "cut_prompts": Family("questions", LOWER),
    "near_ties": Family("questions", None),
    **{
        definition.name: Family(definition.unit, HIGHER if definition.higher_is_better else LOWER)
        for definition in METRIC_DEFINITIONS
    },
    "peak_memory_bytes": Family("bytes", LOWER),
    "peak_host_memory_bytes": Family("bytes", LOWER),
    "max_batch": Family("rows", HIGHER),
    "max_batch_latency_ms": Family("ms", LOWER),
    "rows_that_differ": Family("rows", LOWER),
    "prompts": Family("prompts", None),
    "failed_prompts": Family("prompts", LOWER),
    "harness": Family("", None),
    "accepted": Family("", HIGHER),
    "asked_questions": Family("questions", None),
    "asked_texts": Family("texts", None),
    "evidence_against": Family("nats", LOWER),
    "load_s": Family("s", LOWER),
    "run_s": Family("s", LOWER),
    "run_peak_memory_bytes": Family("bytes", LOWER),
}
"""Every family; of another harness's numbers that harness says which way is better."""


@dataclass(frozen=True, slots=True)
class FlatMetric:
    """One number with its 95 % interval, in the unit of its family; `None` is unknown or not to be used."""

    family: str
    value: float | None
    case: str = ""
    """The part of the run; empty for the whole of it."""

    low: float | None = None
    high: float | None = None
    better_here: str | None = None
    """Where the family does not say which way is better."""

    @property
    def name(self) -> str:
        """The name in `metrics.json`."""
        return f"{self.family}.{self.case}" if self.case else self.family

    @property
    def unit(self) -> str:
        """What `value`, `low` and `high` are counted in."""
        return FAMILIES[self.family].unit

    @property
    def better(self) -> str | None:
        """`HIGHER` or `LOWER`; `None` where neither is."""
        return FAMILIES[self.family].better or self.better_here
