"""GSM8K: word problems of grade school mathematics, answered in words that hold a number."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from random import Random
from types import MappingProxyType

from modeltest.api import (
    AccuracySummary,
    Capability,
    Completion,
    DatasetError,
    Record,
    Request,
    RunSpec,
    Sample,
    Score,
    TaskData,
    modes_named,
)
from modeltest.summary import summarize_accuracy
from modeltest.tasks.number_answers import (
    are_close,
    exact_number,
    flexible_extract,
    last_number,
    shortened,
    strict_match,
)
from modeltest.tasks.prompts import WorkedExample, lay_out
from modeltest.tasks.protocols import (
    LM_EVAL,
    LM_EVAL_FLEXIBLE,
    MODELTEST,
    PROTOCOLS,
    check_protocol,
    drawn_shots,
    first_shots,
    shot_count,
)
from modeltest.tasks.scoring import category_of, contradiction_of, failed_score, score_text

MODELTEST_TOKENS = 512
LM_EVAL_TOKENS = 256

NEXT_QUESTION = "Question:"
"""What a model that was shown examples goes on with: where its answer ends."""

LM_EVAL_STOPS = (NEXT_QUESTION, "</s>", "<|im_end|>")
LM_EVAL_SEED = 1234
"""With which lm-evaluation-harness draws shots, unless told otherwise (`evaluator.py`)."""

_SUBJECT = "gsm8k"


class GSM8K:
    """Word problems whose answer is a number; three ways to find it in what the model wrote.

    modeltest: the bare question, the last number counts. lm-eval: the number behind the first `#### `.
    lm-eval-flexible: the same prompts, the last number counts. The modeltest protocol is zero-shot; shots,
    the first rows of the training split, are this harness's extension. lm-eval draws other shots for each
    question, with one generator in the order of the questions.

    Source: MindIE-LLM tests/modeltest; lm-evaluation-harness 0.4.13 tasks/gsm8k, version 3.0.
    """

    name = "gsm8k"
    title = "GSM8K"
    dataset = "gsm8k"
    protocols = MappingProxyType({**PROTOCOLS, LM_EVAL_FLEXIBLE: PROTOCOLS[LM_EVAL]})
    modes = modes_named("full_GSM8K", "sample_GSM8K")

    def check(self, spec: RunSpec) -> None:
        """Refuse an unknown protocol or a negative number of shots.

        Raises: SpecError.
        """
        check_protocol(spec, self.protocols)

    def requires(self, spec: RunSpec) -> frozenset[Capability]:
        """Return generation."""
        return frozenset({Capability.GENERATE})

    def requests(self, data: TaskData, spec: RunSpec) -> Iterator[Request]:
        """Yield one request per record.

        Raises: SpecError when there are fewer examples than shots asked for; DatasetError when the answer
        of a record holds no number.
        """
        stop = LM_EVAL_STOPS if _is_lm_eval(spec) else (NEXT_QUESTION,) if shot_count(spec) else ()
        for record, shots in _with_shots(data, spec):
            _expected(record, spec)
            yield Request(
                id=record.id,
                prompt=lay_out("", shots, _question(record, spec), chat=spec.chat),
                max_new_tokens=LM_EVAL_TOKENS if _is_lm_eval(spec) else MODELTEST_TOKENS,
                stop=stop,
            )

    def score(self, record: Record, data: TaskData, completion: Completion, spec: RunSpec) -> Score:
        """Judge one completion by the rule of the protocol.

        Raises: DatasetError when the answer of the record holds no number.
        """
        expected, category = _expected(record, spec), category_of(record, data)
        if completion.error or completion.text is None:
            error = completion.error or "the engine gave no text"
            return failed_score(record, error, category=category, expected=expected)
        predicted = _EXTRACT[spec.protocol](completion.text)
        return score_text(
            record,
            completion,
            None if predicted is None else shortened(predicted),
            correct=predicted == expected if _is_lm_eval(spec) else are_close(predicted, expected),
            category=category,
            expected=expected,
        )

    def contradiction(self, spec: RunSpec, score: Score, choice_logprobs: Sequence[float]) -> str | None:
        """Return what in a score cannot be: right is who gives the expected number."""
        return contradiction_of(score) if _is_lm_eval(spec) else contradiction_of(score, agree=are_close)

    def summarize(
        self, samples: Iterable[Sample], data_subjects: Mapping[str, Mapping[str, str]]
    ) -> AccuracySummary:
        """Return the plain mean over all questions; nobody guesses a number."""
        return summarize_accuracy(samples, data_subjects)


_EXTRACT = MappingProxyType(
    {MODELTEST: last_number, LM_EVAL: strict_match, LM_EVAL_FLEXIBLE: flexible_extract}
)
"""By protocol, what finds the answer in a text."""


def _is_lm_eval(spec: RunSpec) -> bool:
    return spec.protocol != MODELTEST


def _question(record: Record, spec: RunSpec) -> str:
    question = record.fields["question"]
    if not _is_lm_eval(spec) and not shot_count(spec):
        return question
    return f"{NEXT_QUESTION} {question}\nAnswer:"


def _with_shots(data: TaskData, spec: RunSpec) -> Iterator[tuple[Record, Sequence[WorkedExample]]]:
    """Yield each record with the worked examples before it, made when it is its turn."""
    examples, count = data.shots.get(_SUBJECT, ()), shot_count(spec)

    def worked(rows: Sequence[Record]) -> Sequence[WorkedExample]:
        return [WorkedExample(_question(row, spec), row.fields["answer"]) for row in rows]

    if _is_lm_eval(spec):
        random = Random(LM_EVAL_SEED)
        for record in data.records:
            yield record, worked(drawn_shots(examples, count, subject=_SUBJECT, random=random))
        return
    shots = worked(first_shots(examples, count, subject=_SUBJECT))
    for record in data.records:
        yield record, shots


def _expected(record: Record, spec: RunSpec) -> str:
    answer = record.fields["answer"]
    number = exact_number(answer) if _is_lm_eval(spec) else last_number(answer)
    if number is None or number != shortened(number):
        raise DatasetError(f"{record.id}: answer ends {answer[-20:]!r}; expected a number, as in '#### 18'")
    return number
