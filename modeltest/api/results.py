"""What a run found: scores, summaries and the `RunResult` that every report is written from."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum

from modeltest.api.acceptance import AcceptanceSummary, AnswersSummary
from modeltest.api.exchange import Completion, Finish, Measurement, Request
from modeltest.api.facts import DatasetInfo, EngineInfo, EngineUsage, ModelInfo
from modeltest.api.findings import Finding
from modeltest.api.spec import Case, RunSpec
from modeltest.api.timed_results import MaxBatchSummary, PerformanceSummary
from modeltest.api.verdict import Verdict


class RunStatus(str, Enum):
    """How far a run has come."""

    RUNNING = "running"
    """Or its supervisor was killed."""

    COMPLETE = "complete"
    PARTIAL = "partial"
    """It was interrupted, and can go on."""

    FAILED = "failed"
    FOLLOWED = "followed"
    """The part of a node that is not the first, whose run has the results."""

    def __str__(self) -> str:
        return self.value


@dataclass(frozen=True, slots=True)
class Score:
    """The verdict on one completion. `correct` is `None` when the request failed: failed is not wrong."""

    request_id: str
    subject: str
    category: str
    expected: str
    predicted: str | None = None
    correct: bool | None = None
    margin: float | None = None
    """Difference of the best two choice log-probabilities; `None` where there are none."""

    no_answer: bool = False
    truncated: bool = False
    error: str | None = None
    choices: int | None = None
    """How many answers the question offers; `None`: as many as every one of the task, or any."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One journalled question: what was asked, what came back and how it was scored."""

    score: Score
    completion: Completion
    prompt_sha256: str


@dataclass(frozen=True, slots=True)
class JournalEnd:
    """What the journal was when its run ended: what it has lost or gained since is seen by it."""

    lines: int
    bytes: int
    sha256: str
    """The running digest of the last line."""


@dataclass(frozen=True, slots=True)
class Question:
    """What a sample answers, made again from the dataset; an equal digest means that it is what was asked."""

    request: Request
    prompt_sha256: str


@dataclass(frozen=True, slots=True)
class Proportion:
    """Right answers over questions, with the 95 % Wilson interval and the standard error."""

    correct: int
    total: int
    accuracy: float | None
    standard_error: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True, slots=True)
class FrequentFailure:
    """Why most of the failed questions failed, and how many of them did so."""

    reason: str
    count: int


@dataclass(frozen=True, slots=True)
class AccuracySummary:
    """Accuracy over all questions, failed ones included in the denominator and counted apart."""

    micro: Proportion
    macro: float | None
    """Mean over the subjects' accuracies."""

    subjects: Mapping[str, Proportion]
    categories: Mapping[str, Proportion]
    groups: Mapping[str, Proportion]
    """Named groups of subjects beside the categories, such as C-Eval Hard."""

    failed: int
    no_answer: int
    truncated: int
    dropped_shots: int
    cut_prompts: int
    near_ties: tuple[str, ...]
    """The questions that rounding may decide. Tasks leave them out: the dtype decides."""

    near_tie_margin: float
    """Below this difference in log-probability a question is one of them; in nats."""

    prompts_sha256: str
    frequent_failure: FrequentFailure | None = None
    """`None`: no question failed, or the run is of an older version."""

    guess_rate: float | None = None
    """Mean over the answered questions of one by the number of choices; `None` where that is not known."""

    answers: Mapping[str, int] = field(default_factory=dict)
    """The most frequent answers, and how often each was given."""

    expected_answers: Mapping[str, int] = field(default_factory=dict)
    """How often each of these is the right one."""


@dataclass(frozen=True, slots=True)
class FirstDifference:
    """The first token in which a row differs from the one it should equal; `None` where one has ended."""

    row: int
    token_index: int
    expected: int | None
    found: int | None


@dataclass(frozen=True, slots=True)
class PrecisionOutput:
    """The greedy output of one prompt at one batch size, in which all rows with that prompt should agree."""

    case: Case
    batch_size: int
    prompt: int
    """Index of the prompt in the list that was given."""

    prompt_tokens: tuple[int, ...]
    output_tokens: tuple[int, ...]
    """Of the first row with the prompt."""

    logprobs: tuple[float, ...] | None
    """Of each output token, given the prompt and the tokens before it; `None` where it was not asked for."""

    text: str | None
    rows: int
    """How many rows had the prompt."""

    rows_that_differ: int
    first_difference: FirstDifference | None
    verdict: Verdict
    reasons: tuple[str, ...]
    """In English; `reason_codes` are the same as values."""

    reason_codes: tuple[Finding, ...] = ()


@dataclass(frozen=True, slots=True)
class PrecisionSummary:
    """The outputs of a precision run, by case, batch size and prompt."""

    outputs: tuple[PrecisionOutput, ...]


@dataclass(frozen=True, slots=True)
class HarnessMetric:
    """One number of another harness, under the names that harness gives it."""

    task: str
    filter: str
    metric: str
    value: float | None
    standard_error: float | None
    higher_is_better: bool | None
    shots: int | None
    questions: int | None
    version: str | None
    """Of the task, as the harness counts versions."""


@dataclass(frozen=True, slots=True)
class HarnessSummary:
    """What another harness made of the engine's answers, in its order."""

    harness: str
    version: str | None
    metrics: tuple[HarnessMetric, ...]


@dataclass(frozen=True, slots=True)
class HarnessAnswers:
    """Another harness's questions one by one, for a comparison in pairs."""

    samples: tuple[Sample, ...]
    notes: tuple[str, ...] = ()
    """What they were judged by, and what is not among them."""


@dataclass(frozen=True, slots=True)
class GeneratedText:
    """One prompt and what the model made of it; the file of generations has the texts whole."""

    index: int
    prompt: str
    text: str | None
    prompt_tokens: int
    output_tokens: int
    finish: Finish | None
    cut_prompt_tokens: int = 0
    error: str | None = None


@dataclass(frozen=True, slots=True)
class GenerationSummary:
    """What was generated, in the order of the prompts."""

    expected: int
    """How many prompts were to be asked."""

    texts: tuple[GeneratedText, ...]


Summary = (
    AccuracySummary
    | PerformanceSummary
    | MaxBatchSummary
    | PrecisionSummary
    | HarnessSummary
    | GenerationSummary
    | AcceptanceSummary
    | AnswersSummary
)


@dataclass(frozen=True, slots=True)
class Interruption:
    """One time that a run was stopped before its end: by its user, or because its worker was lost."""

    time: str
    """UTC."""

    reason: str
    done: int
    """Questions or trials in the journal by then."""

    in_flight: int = 0
    """Questions a lost worker's engine had taken in and not answered: one of them may be what ended it."""

    suspects: tuple[str, ...] = ()
    """The one batch of questions, or the one trial, that was being run, where that is known."""

    given_up: bool = False
    """The suspects are not tried again: they were under way at an earlier loss too, or out of memory."""

    out_of_memory: bool = False
    """They are given up because they do not fit."""

    reason_code: Finding | None = None
    """`reason` as values; `None` in runs of versions that recorded the sentence alone."""


@dataclass(frozen=True, slots=True)
class RunResult:
    """Everything a report may read. Samples, measurements and questions can be iterated more than once."""

    spec: RunSpec
    started: str
    status: RunStatus

    model: ModelInfo
    adapter: str | None
    """The engine plug-in chosen for the engine word."""

    engine: EngineInfo | None
    dataset: DatasetInfo | None
    machine: Mapping[str, str | int | float | None]
    samples: Iterable[Sample] = ()
    measurements: Iterable[Measurement] = ()
    summary: Summary | None = None
    verdict: Verdict | None = None
    reasons: tuple[str, ...] = ()
    """Of the verdict, in English; `reason_codes` are the same as values."""

    reason_codes: tuple[Finding, ...] = ()
    """Nothing in runs of versions that recorded sentences alone."""

    warnings: tuple[str, ...] = ()
    """What may disturb the numbers, what timed cases say beside their verdicts, and all `findings`."""

    warning_codes: tuple[Finding, ...] = ()
    """The same as values; nothing in runs of versions that recorded sentences alone."""

    findings: tuple[Finding, ...] = ()
    """What is odd about the questions, the answers or the journal."""

    usage: EngineUsage | None = None
    passed_over: Mapping[str, str] = field(default_factory=dict)
    """Engine plug-ins that serve the word where they can, and why they could not here."""

    timing_s: Mapping[str, float] = field(default_factory=dict)
    command: str | None = None
    """The words that ask for this run again."""

    modeltest_version: str | None = None
    protocol_version: str | None = None
    task_files: Mapping[str, str] = field(default_factory=dict)
    """sha256 of the task file of the run; of lm-eval, of those not its own, and of code that they name."""

    error: str | None = None
    error_code: Finding | None = None
    """`error` as values, where it is known: an error has words of its own."""

    interruptions: tuple[Interruption, ...] = ()
    """Every time it was stopped and went on, or could have."""

    journal: JournalEnd | None = None
    """Of a complete run: how its journal ended. `None`: it has none, or is of an older version."""

    questions: Iterable[Question] = ()
    """What the samples answer, as far as the dataset is still there; no part of `run.json`."""

    @property
    def exit_status(self) -> int | None:
        """Exit status of a run that ended: of its verdict, and of what it decided; `None` without one."""
        if self.verdict is None:
            return None
        if isinstance(self.summary, AcceptanceSummary):
            pack = self.spec.options.pack
            passes = pack is not None and pack.undecided_passes
            return max(self.verdict.exit_status, self.summary.decision.exit_status(undecided_passes=passes))
        return self.verdict.exit_status
