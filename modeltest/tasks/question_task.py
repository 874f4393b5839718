"""An accuracy task of one class: how a question is asked, and which answer a text holds. The rest is here."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from modeltest.api import (
    AccuracySummary,
    Capability,
    Completion,
    Mode,
    Record,
    Request,
    RunSpec,
    Sample,
    Score,
    TaskData,
    modes_of_word,
)
from modeltest.summary import summarize_accuracy
from modeltest.tasks.prompts import WorkedExample, lay_out
from modeltest.tasks.protocols import MODELTEST, check_protocol, first_shots, shot_count
from modeltest.tasks.scoring import category_of, contradiction_of, failed_score, score_text


class QuestionTask(ABC):
    """Questions that a model answers in its own words; a subclass names the dataset and has two methods.

    A subclass whose `word` is `Colours` serves the modes `full_Colours` and `sample_Colours`. One that
    `takes_shots` shows the first worked examples of each subject, from the split of the dataset with them.
    """

    name: str
    title: str
    dataset: str
    word: str
    """What follows `full_` and `sample_` in the modes."""

    takes_shots = False
    """Whether the word SHOTS follows the modes."""

    max_new_tokens = 32
    stop: tuple[str, ...] = ()
    protocols: Mapping[str, str] = MappingProxyType({MODELTEST: "1"})
    modes: tuple[Mode, ...]

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if hasattr(cls, "word") and "modes" not in vars(cls):
            cls.modes = modes_of_word(cls.word, task=cls.name, takes_shots=cls.takes_shots)

    @abstractmethod
    def prompt(self, record: Record) -> str:
        """Return the question as it is asked, ending where the answer is to begin."""

    @abstractmethod
    def answer(self, text: str, record: Record) -> str | None:
        """Return the answer that a text holds, in the form of the record's `answer`; `None` without one."""

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
        category, expected = category_of(record, data), record.fields["answer"]
        if completion.error or completion.text is None:
            return failed_score(record, completion.error or "the engine gave no text", category=category)
        predicted = self.answer(completion.text, record)
        return score_text(record, completion, predicted, correct=predicted == expected, category=category)

    def contradiction(self, spec: RunSpec, score: Score, choice_logprobs: Sequence[float]) -> str | None:
        """Return what in a score cannot be: right is the expected answer."""
        return contradiction_of(score)

    def summarize(
        self, samples: Iterable[Sample], data_subjects: Mapping[str, Mapping[str, str]]
    ) -> AccuracySummary:
        """Return accuracy over all questions, by subject and by category."""
        return summarize_accuracy(samples, data_subjects)

    def _shots(self, subject: str, data: TaskData, count: int) -> Sequence[WorkedExample]:
        records = first_shots(data.shots.get(subject, ()), count, subject=subject)
        return [WorkedExample(self.prompt(record), record.fields["answer"]) for record in records]
