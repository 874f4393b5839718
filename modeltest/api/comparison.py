"""What comparing two runs found: pairs, intervals and gates; and what a report of it must be."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Protocol, runtime_checkable

from modeltest.api.acceptance import Decision
from modeltest.api.findings import Finding
from modeltest.api.spec import Case
from modeltest.api.timed_results import SearchStatus
from modeltest.api.verdict import Verdict


class GateOutcome(str, Enum):
    """What the evidence says of one gate."""

    PASS = "PASS"
    """The candidate keeps to the limit."""

    FAIL = "FAIL"
    """It does not, beyond what chance explains."""

    INCONCLUSIVE = "INCONCLUSIVE"
    """The runs are too small or too noisy to tell."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """The two ends of an interval: of times at the confidence of the comparison, of all else at 95 %."""

    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Gate:
    """One condition the candidate has to meet, and whether it does."""

    name: str
    """What is judged, such as accuracy, shifts or latency: docs/compare.md has all of them."""

    part: str
    """The case, batch size and metric, or the statistic; empty where the gate is about the whole run."""

    outcome: GateOutcome
    statement: str
    """What the outcome rests on, in one sentence with its numbers."""

    value: float | None
    """What was measured, in `unit`."""

    limit: float | None
    """What is allowed, in `unit`."""

    unit: str
    """questions, fraction, nats, deviations, ratio or requests."""

    questions_needed: int | None = None
    """How many questions would decide an INCONCLUSIVE gate; `None` where that is not known."""

    statement_code: Finding | None = None
    """`statement` as values."""


@dataclass(frozen=True, slots=True)
class ComparedRun:
    """One of the runs compared: what ran on what."""

    directory: str
    started: str
    model: str
    fingerprint: str | None
    engine_word: str
    adapter: str | None
    device: str | None
    dtype: str | None
    quantize: str | None
    verdict: Verdict | None
    command: str | None


@dataclass(frozen=True, slots=True)
class ComparedTwin:
    """A right computation in the candidate's dtype: what rounding alone does to the reference."""

    source: str
    """The directory of its run, or a reference pack, `#` and the computation's name."""

    engine: str
    dtype: str | None
    questions: int
    """Of the reference, which it answered."""


@dataclass(frozen=True, slots=True)
class RunDifference:
    """One fact in which the runs differ."""

    category: str
    """What `--allow` calls it; empty where it stops no comparison."""

    fact: str
    reference: str
    candidate: str


@dataclass(frozen=True, slots=True)
class PairedTable:
    """Questions by whether each run answered them right."""

    both_right: int
    reference_only: int
    candidate_only: int
    both_wrong: int

    @property
    def questions(self) -> int:
        """All of them."""
        return self.both_right + self.reference_only + self.candidate_only + self.both_wrong


@dataclass(frozen=True, slots=True)
class PairedAccuracy:
    """The same questions asked of both runs: how far their accuracies are apart.

    `difference` is candidate minus reference, a fraction, with its 95 % interval; `None` without a question.
    """

    table: PairedTable
    reference_accuracy: float | None
    candidate_accuracy: float | None
    difference: float | None
    interval: Bounds | None
    p_value: float
    """McNemar's exact test, two-sided."""

    adjusted_p_value: float | None = None
    """After Holm, over the subjects; `None` for the whole run."""


@dataclass(frozen=True, slots=True)
class Flip:
    """A question the runs answer differently. Margins are those between a run's best two choices, in nats."""

    question: str
    subject: str
    expected: str
    reference: str | None
    candidate: str | None
    reference_margin: float | None
    candidate_margin: float | None
    is_near_tie: bool | None
    """Whether both margins are so narrow that rounding may decide; `None` where there are no margins."""


@dataclass(frozen=True, slots=True)
class ChoiceDivergence:
    """How far the distributions over the choices are apart, in nats, over the questions that have them."""

    questions: int
    mean_kl: float
    median_kl: float
    p99_kl: float
    max_kl: float
    max_kl_question: str
    median_shift: float
    """The largest change of any choice's log-probability, median over questions."""

    max_shift: float
    near_tie_margin: float
    """Flips with both margins within this are near-ties."""


@dataclass(frozen=True, slots=True)
class DivergentOutput:
    """An output that is another one in the candidate, from its first different token on."""

    output: str
    token_index: int
    reference_token: int | None
    """`None`: the output has ended there."""

    candidate_token: int | None
    reference_text: str | None = None
    candidate_text: str | None = None
    """The beginnings of both texts, where they were kept."""


@dataclass(frozen=True, slots=True)
class TokenDivergence:
    """KL divergence of next-token distributions, up to where the outputs part.

    `is_whole` says that the whole distributions were there. Otherwise only the log-probability of the token
    itself was, and every number is the least that it can be.
    """

    tokens: int
    mean_kl: float
    max_kl: float
    share_above: float
    """Of tokens above the lower threshold of the criterion."""

    is_whole: bool


@dataclass(frozen=True, slots=True)
class OutputAgreement:
    """Generated tokens of both runs, side by side."""

    outputs: int
    identical: int
    earliest_divergence: int | None
    """Index of a token; `None` where all outputs are identical."""

    median_divergence: float | None
    divergent: tuple[DivergentOutput, ...]
    divergence: TokenDivergence | None = None


@dataclass(frozen=True, slots=True)
class AccuracyComparison:
    """Two accuracy runs, question by question."""

    overall: PairedAccuracy
    subjects: Mapping[str, PairedAccuracy]
    questions: int
    """Questions that both runs answered."""

    flips: tuple[Flip, ...]
    """Widest margins first; those without margins in the order of their names."""

    near_tie_flips: int | None
    wide_flips: int | None
    """`None` where there are no margins."""

    failed_in_reference: tuple[str, ...]
    failed_in_candidate: tuple[str, ...]
    """Questions the other run answered; a failed question makes no pair."""

    failed_in_both: int
    divergence: ChoiceDivergence | None
    outputs: OutputAgreement | None
    unanswered: int = 0
    """Questions to which neither run gave an answer, though it said something: wrong in both."""


@dataclass(frozen=True, slots=True)
class MetricComparison:
    """One metric of one case at one batch size: candidate over reference, of medians, with their intervals.

    The intervals are two-sided, at the confidence of the comparison.

    A side's value is the median over its sessions of each session's median over trials. With one session on
    a side its trials are resampled instead, which leaves out what differs from session to session.
    """

    case: Case
    batch_size: int
    metric: str
    unit: str
    reference: float
    candidate: float
    ratio: float
    ratio_interval: Bounds | None
    """`None` where there are too few values for one."""

    difference: float
    """Candidate minus reference, in `unit`."""

    difference_interval: Bounds | None
    reference_sessions: int
    candidate_sessions: int
    tolerance: float | None
    """The most the ratio may exceed 1 by; `None` for a metric that is shown and not judged."""

    floor: float | None
    """The least difference that counts, in `unit`."""

    is_calibrated: bool
    p_value: float | None = None
    """How often a candidate that is no slower is as far behind; `None` for a metric that is not judged."""


@dataclass(frozen=True, slots=True)
class MaxBatchComparison:
    """The answers of two max-batch searches for one case.

    `bound` is the smallest larger batch known not to do.
    """

    case: Case
    limit_ms: float
    reference_batch: int | None
    candidate_batch: int | None
    reference_bound: int | None
    candidate_bound: int | None
    reference_status: SearchStatus
    candidate_status: SearchStatus
    difference: int | None


@dataclass(frozen=True, slots=True)
class Comparison:
    """Everything a report of a comparison may read."""

    kind: str
    """accuracy, performance, max_batch, precision or generation."""

    task: str
    outcome: Decision
    """REJECT where a gate says FAIL, ACCEPT where all say PASS, else UNDECIDED."""

    gates: tuple[Gate, ...]
    reference: tuple[ComparedRun, ...]
    """One per session."""

    candidate: tuple[ComparedRun, ...]
    allowed: tuple[RunDifference, ...]
    """What would have stopped the comparison, had it not been allowed."""

    differences: tuple[RunDifference, ...]
    """What else differs: what is compared, as a rule."""

    notes: tuple[str, ...]
    confidence: float
    """Of the evidence behind PASS, one-sided, and of the intervals of times."""

    accuracy: AccuracyComparison | None = None
    outputs: OutputAgreement | None = None
    performance: tuple[MetricComparison, ...] = ()
    max_batch: tuple[MaxBatchComparison, ...] = ()
    modeltest_version: str | None = None
    note_codes: tuple[Finding, ...] = ()
    """`notes` as values."""

    twins: tuple[ComparedTwin, ...] = ()
    """What the shifts of accuracy runs were held against."""

    false_alarms: float | None = None
    """How often chance alone ends it with REJECT, at most; `None` where no gate has a rate."""

    @property
    def level(self) -> str:
        """`confidence` as it stands beside the intervals of times: `95 %`."""
        return f"{100 * self.confidence:.6g} %"


@dataclass(frozen=True, slots=True)
class CalibratedTolerance:
    """How much one metric of a case varies between equal runs of this machine, and what to tolerate."""

    case: Case
    batch_size: int
    metric: str
    sessions: int
    session_cv: float
    """Standard deviation of the sessions' medians, relative."""

    largest_ratio: float
    """Of the slowest session to the fastest."""

    tolerance: float


@dataclass(frozen=True, slots=True)
class Calibration:
    """Tolerances found by running the same thing again and again on one machine."""

    created: str
    machine: Mapping[str, str | int | float | None]
    device: str | None
    adapter: str | None
    dtype: str | None
    model: str
    world_size: int
    sessions: int
    risk: float
    """How often two equal sessions differ by more than the tolerance, at most."""

    tolerances: tuple[CalibratedTolerance, ...] = field(default_factory=tuple)


@runtime_checkable
class ComparisonReport(Protocol):
    """Writes a comparison in one format; found through the entry points `modeltest.comparison_reports`."""

    name: str
    """What `--format` calls it."""

    file_name: str

    def render(self, comparison: Comparison) -> str:
        """Return the whole file.

        Raises: MissingExtra where a package it needs is not installed.
        """
