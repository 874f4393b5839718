"""An accuracy task of one class: how a question is asked, and which answer a text holds. The rest is here."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType

from modeltest.api import (
    AccuracySummary,
    Capability,
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
from modeltest.tasks.protocols import MODELTEST, first_shots, shot_count
from modeltest.tasks.scoring import category_of, contradiction_of, failed_score, score_text


class QuestionTask(DatasetTask, ABC):
    """Questions that a model answers in its own words; a subclass names the dataset and has two methods.

    One that `takes_shots` shows the first worked examples of each subject, from the split of the dataset with
    them. Where an answer need not be given to the letter, it has `expected` or `agree` of its own too.
    """

    takes_shots = False
    max_new_tokens = 32
    stop: tuple[str, ...] = ()
    protocols: Mapping[str, str] = MappingProxyType({MODELTEST: "1"})

    @abstractmethod
    def prompt(self, record: Record) -> str:
        """Return the question as it is asked, ending where the answer is to begin."""

    @abstractmethod
    def answer(self, text: str, record: Record) -> str | None:
        """Return the answer that a text holds, in the form of `expected`; `None` without one."""

    def expected(self, record: Record) -> str:
        """Return the right answer, in the form in which answers compare."""
        return record.fields["answer"]

    def agree(self, predicted: str | None, expected: str) -> bool:
        """Say whether an answer is the right one."""
        return predicted == expected

    def requires(self, spec: RunSpec) -> frozenset[Capability]:
        """Return generation."""
        return frozenset({Capability.GENERATE})

    def requests(self, data: TaskData, spec: RunSpec) -> Iterator[Request]:
        """Yield one request per record.

        Raises: SpecError when a subject has fewer examples than shots asked for.
        """
        shots: dict[str, Sequence[WorkedExample]] = {}
        for record in data.records:
            if record.subject not in shots:
                shots[record.subject] = self._shots(record.subject, data, shot_count(spec))
            prompt = lay_out("", shots[record.subject], self.prompt(record), chat=spec.chat)
            yield Request(record.id, prompt, max_new_tokens=self.max_new_tokens, stop=self.stop)

    def score(self, record: Record, data: TaskData, completion: Completion, spec: RunSpec) -> Score:
        """Judge one completion: right is the expected answer."""
        category, expected = category_of(record, data), self.expected(record)
        if completion.error or completion.text is None:
            error = completion.error or "the engine gave no text"
            return failed_score(record, error, category=category, expected=expected)
        predicted = self.answer(completion.text, record)
        correct = self.agree(predicted, expected)
        return score_text(
            record, completion, predicted, correct=correct, category=category, expected=expected
        )

    def contradiction(self, spec: RunSpec, score: Score, choice_logprobs: Sequence[float]) -> str | None:
        """Return what in a score cannot be: right is the expected answer."""
        return contradiction_of(score, agree=self.agree)

    def summarize(
        self, samples: Iterable[Sample], data_subjects: Mapping[str, Mapping[str, str]]
    ) -> AccuracySummary:
        """Return accuracy over all questions, by subject and by category."""
        return summarize_accuracy(samples, data_subjects)

    def _shots(self, subject: str, data: TaskData, count: int) -> Sequence[WorkedExample]:
        records = first_shots(data.shots.get(subject, ()), count, subject=subject)
        return [WorkedExample(self.prompt(record), record.fields["answer"]) for record in records]
