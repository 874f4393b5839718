"""What timed runs found: distributions over trials, the summary of a case, the answer of a search."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

from modeltest.api.findings import Finding
from modeltest.api.spec import Case
from modeltest.api.verdict import Verdict


@dataclass(frozen=True, slots=True)
class Distribution:
    """Statistics of one metric over trials, in the metric's unit. Undefined values are `None`.

    `low` and `high` are the 95 % interval of the median; a percentile is there only where `n` supports it.
    """

    n: int
    median: float | None
    mean: float | None
    sd: float | None
    cv: float | None
    mad: float | None
    minimum: float | None
    maximum: float | None
    low: float | None = None
    high: float | None = None
    p90: float | None = None
    p95: float | None = None
    p99: float | None = None


@dataclass(frozen=True, slots=True)
class Drift:
    """Whether a metric rises or falls over the trials, in their order."""

    slope_per_trial: float
    """In the metric's unit: the median slope over all pairs of trials."""

    change: float
    """From the first trial to the last by that slope, as a fraction of the median."""

    p_value: float
    """How often chance alone would give such an order."""


@dataclass(frozen=True, slots=True)
class Overhead:
    """What timing every token costs: E2E time with it over that without, minus one. 95 % interval."""

    fraction: float
    low: float | None
    high: float | None
    bare_trials: int


@dataclass(frozen=True, slots=True)
class Achieved:
    """The rates a case must have reached at least, beside the peaks measured; `None` where one is unknown."""

    decode_bytes_per_s: float | None
    peak_bytes_per_s: float | None
    prefill_flop_per_s: float | None
    peak_flop_per_s: float | None


@dataclass(frozen=True, slots=True)
class CasePrompts:
    """The prompts of the measured trials of one case where they were not random token ids; in tokens."""

    shortest: int
    median: float
    longest: int
    available: int
    """How many prompts there were to choose from: those of a dataset that differ at this length."""

    notes: tuple[str, ...]
    """What of the prompts was cut, lengthened or asked again."""


@dataclass(frozen=True, slots=True)
class CaseSummary:
    """One case at one batch size: a distribution per metric name, over the measured trials."""

    case: Case
    batch_size: int
    trials: int
    warmup_trials: int
    metrics: Mapping[str, Distribution]
    peak_memory_bytes: int | None
    verdict: Verdict
    reasons: tuple[str, ...]
    prompts: CasePrompts | None = None
    """`None`: random token ids of the length of the case."""
    peak_host_memory_bytes: int | None = None
    drift: Mapping[str, Drift] = field(default_factory=dict)
    """By metric name."""

    overhead: Overhead | None = None
    achieved: Achieved | None = None
    notes: tuple[str, ...] = ()
    """What a reader should know of the numbers, though it leaves the verdict as it is."""

    reason_codes: tuple[Finding, ...] = ()
    """`reasons` as values."""

    note_codes: tuple[Finding, ...] = ()
    """`notes` as values."""


@dataclass(frozen=True, slots=True)
class PerformanceSummary:
    """All cases of a performance run, in the order they were asked for."""

    cases: tuple[CaseSummary, ...]


class SearchStatus(str, Enum):
    """How a max-batch search ended."""

    FOUND = "FOUND"
    MEMORY_LIMITED = "MEMORY_LIMITED"
    RANGE_LIMITED = "RANGE_LIMITED"
    NONE_FEASIBLE = "NONE_FEASIBLE"
    BORDERLINE = "BORDERLINE"


class ProbeDecision(str, Enum):
    """What the trials of one batch size say of the limit."""

    PASS = "PASS"
    """Its upper bound is within the limit."""

    FAIL = "FAIL"
    """Its lower bound is above the limit."""

    OPEN = "OPEN"
    """Neither, so far: the search was cut short, or more trials would hardly have changed its way."""

    BORDERLINE = "BORDERLINE"
    """Neither, after all the trials a batch size may have. Counts as a failure."""

    OUT_OF_MEMORY = "OUT_OF_MEMORY"
    FAILED = "FAILED"
    """A trial failed: it gives nothing, and the batch is never the answer."""


@dataclass(frozen=True, slots=True)
class Probe:
    """One batch size tried by the search: its trials in ms, their interval and what they decide.

    `trials_ms` are of full length; `warmups_ms`, the first of full length, and `screens_ms`, of few output
    tokens, guide the search and stay out of the interval. `latency_ms` is the mean of the trials but the
    `disturbed_trials`, `low_ms` and `high_ms` its one-sided bounds; `None` without a trial of full length.
    """

    batch_size: int
    decision: ProbeDecision
    latency_ms: float | None = None
    low_ms: float | None = None
    high_ms: float | None = None
    trials_ms: tuple[float, ...] = ()
    warmups_ms: tuple[float, ...] = ()
    screens_ms: tuple[float, ...] = ()
    disturbed_trials: int = 0
    peak_memory_bytes: int | None = None
    is_certified: bool = False
    """Whether it passed with all the trials an answer takes."""


@dataclass(frozen=True, slots=True)
class LatencyLine:
    """The latency of a batch as a straight line: `start_ms + slope_ms * batch_size`, near the limit."""

    start_ms: float
    slope_ms: float


@dataclass(frozen=True, slots=True)
class MaxBatchCase:
    """The answer for one case: the largest batch certified to be within the limit, or `None`.

    `bound` is the smallest larger batch known not to do; `reason` says what the status rests on.
    `latency_ms` is the mean of the answer's trials, `high_ms` its upper bound.
    """

    case: Case
    lowest: int
    highest: int
    limit_ms: float
    status: SearchStatus
    reason: str
    max_batch: int | None
    latency_ms: float | None
    high_ms: float | None
    bound: int | None
    verdict: Verdict
    reasons: tuple[str, ...]
    probes: tuple[Probe, ...]
    measured: tuple[CaseSummary, ...]
    line: LatencyLine | None = None
    """By which the search chose its batch sizes, in the end; `None` while nothing rises."""

    reason_code: Finding | None = None
    """`reason` as values; `None` in runs of versions that recorded the sentence alone."""

    reason_codes: tuple[Finding, ...] = ()
    """`reasons` as values."""


@dataclass(frozen=True, slots=True)
class MaxBatchSummary:
    """All cases of a max-batch run."""

    cases: tuple[MaxBatchCase, ...]
