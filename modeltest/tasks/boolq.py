"""BoolQ: yes/no questions about a passage, answered by the likelier of two words."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice

from modeltest.api import (
    AccuracySummary,
    Capability,
    ChoiceRule,
    Completion,
    Record,
    Request,
    RunSpec,
    Sample,
    Score,
    TaskData,
    modes_named,
)
from modeltest.summary import summarize_accuracy
from modeltest.tasks.prompts import WorkedExample, lay_out
from modeltest.tasks.protocols import LM_EVAL, PROTOCOLS, check_protocol, first_shots, shot_count
from modeltest.tasks.scoring import category_of, contradiction_of, score_choices

MODELTEST_ANSWERS = ("yes", "no")
LM_EVAL_ANSWERS = ("no", "yes")
"""The order decides ties: the first choice wins one."""


class BoolQ:
    """Reading comprehension with yes/no answers; the two protocols differ in how a choice is scored.

    Both say "no" on a tie. The modeltest protocol is zero-shot; shots are this harness's extension. Where
    the dataset offers no examples they are the first other questions of the evaluation set, in file order.
    lm-evaluation-harness draws its shots at random from the training split instead, so only its zero-shot
    numbers can be compared.

    Source: MindIE-LLM tests/modeltest; lm-evaluation-harness 0.4.13 tasks/super_glue/boolq.
    """

    name = "boolq"
    title = "BoolQ"
    dataset = "boolq"
    protocols = PROTOCOLS
    modes = modes_named("full_BoolQ", "sample_BoolQ")

    def check(self, spec: RunSpec) -> None:
        """Refuse an unknown protocol or a negative number of shots.

        Raises: SpecError.
        """
        check_protocol(spec)

    def requires(self, spec: RunSpec) -> frozenset[Capability]:
        """Return choice log-probabilities: nothing is generated."""
        return frozenset({Capability.CHOICE_LOGPROBS})

    def requests(self, data: TaskData, spec: RunSpec) -> Iterator[Request]:
        """Yield one request per record.

        Raises: SpecError when there are fewer examples than shots asked for.
        """
        rule = ChoiceRule.CONTINUATION if spec.protocol == LM_EVAL else ChoiceRule.LAST_TOKEN
        choices = _choices(spec)
        for record in data.records:
            shots = [
                WorkedExample(_question(shot), shot.fields["answer"])
                for shot in _shots(record, data, shot_count(spec))
            ]
            yield Request(
                id=record.id,
                prompt=lay_out("", shots, _question(record), chat=spec.chat),
                choices=choices,
                choice_rule=rule,
            )

    def score(self, record: Record, data: TaskData, completion: Completion, spec: RunSpec) -> Score:
        """Judge one completion: "yes" only if it is strictly likelier than "no"."""
        is_lm_eval = spec.protocol == LM_EVAL
        return score_choices(
            record,
            completion,
            labels=LM_EVAL_ANSWERS if is_lm_eval else MODELTEST_ANSWERS,
            category=category_of(record, data),
            last_wins_ties=not is_lm_eval,
        )

    def contradiction(self, spec: RunSpec, score: Score, choice_logprobs: Sequence[float]) -> str | None:
        """Return what in a score cannot be: right is the expected word, and that is the likelier one."""
        is_lm_eval = spec.protocol == LM_EVAL
        return contradiction_of(
            score,
            choice_logprobs=choice_logprobs,
            labels=LM_EVAL_ANSWERS if is_lm_eval else MODELTEST_ANSWERS,
            last_wins_ties=not is_lm_eval,
        )

    def summarize(
        self, samples: Iterable[Sample], data_subjects: Mapping[str, Mapping[str, str]]
    ) -> AccuracySummary:
        """Return the plain mean over all questions."""
        return summarize_accuracy(samples, data_subjects, choices=len(MODELTEST_ANSWERS))


def _question(record: Record) -> str:
    fields = record.fields
    # The SuperGLUE copy has no title: its passage already begins with "title -- ".
    passage = f"{fields['title']} -- {fields['passage']}" if fields.get("title") else fields["passage"]
    return f"{passage}\nQuestion: {fields['question']}?\nAnswer:"


def _choices(spec: RunSpec) -> tuple[str, ...]:
    if spec.protocol != LM_EVAL:
        return tuple(f" {answer}" for answer in MODELTEST_ANSWERS)
    # lm-evaluation-harness puts no space before a choice that follows a chat template.
    return LM_EVAL_ANSWERS if spec.chat else tuple(f" {answer}" for answer in LM_EVAL_ANSWERS)


def _shots(record: Record, data: TaskData, count: int) -> Sequence[Record]:
    examples = data.shots.get("boolq")
    if not examples:
        others = (other for other in data.records if other.id != record.id)
        examples = tuple(islice(others, count))
    return first_shots(examples, count, subject="boolq")
