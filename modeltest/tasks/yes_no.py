"""Questions answered yes or no, by the likelier of the two words. BoolQ is such a task."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence

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
)
from modeltest.summary import summarize_accuracy
from modeltest.tasks.dataset_task import DatasetTask
from modeltest.tasks.prompts import WorkedExample, lay_out
from modeltest.tasks.protocols import LM_EVAL, first_shots, shot_count
from modeltest.tasks.scoring import category_of, contradiction_of, score_choices

MODELTEST_ANSWERS = ("yes", "no")
LM_EVAL_ANSWERS = ("no", "yes")
"""The order decides ties: the first choice wins one."""


class YesNo(DatasetTask, ABC):
    """A task whose records have the answer "yes" or "no"; a subclass says how a question is asked.

    The two protocols differ in how a choice is scored, and both say "no" on a tie.
    """

    @abstractmethod
    def prompt(self, record: Record) -> str:
        """Return the question as it is asked, ending where the word is expected."""

    def examples(self, record: Record, data: TaskData, count: int) -> Sequence[Record]:
        """Return the `count` worked examples before a question.

        Raises: SpecError when there are fewer.
        """
        return first_shots(data.shots.get(record.subject, ()), count, subject=record.subject)

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
                WorkedExample(self.prompt(shot), shot.fields["answer"])
                for shot in self.examples(record, data, shot_count(spec))
            ]
            yield Request(
                id=record.id,
                prompt=lay_out("", shots, self.prompt(record), chat=spec.chat),
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


def _choices(spec: RunSpec) -> tuple[str, ...]:
    if spec.protocol != LM_EVAL:
        return tuple(f" {answer}" for answer in MODELTEST_ANSWERS)
    # lm-evaluation-harness puts no space before a choice that follows a chat template.
    return LM_EVAL_ANSWERS if spec.chat else tuple(f" {answer}" for answer in LM_EVAL_ANSWERS)
