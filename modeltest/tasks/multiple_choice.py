"""What MMLU and C-Eval share: prompts for questions with the options A to D, and their scoring."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from modeltest.api import (
    AccuracySummary,
    Capability,
    Completion,
    DatasetError,
    Finish,
    Mode,
    Prompt,
    Record,
    Request,
    RunSpec,
    Sample,
    Score,
    TaskData,
)
from modeltest.summary import summarize_accuracy
from modeltest.tasks.answers import LETTERS, extract_answer
from modeltest.tasks.prompts import WorkedExample, lay_out
from modeltest.tasks.protocols import LM_EVAL, PROTOCOLS, check_protocol, first_shots, shot_count
from modeltest.tasks.scoring import category_of, contradiction_of, failed_score, score_choices, score_text

FEW_SHOT_TOKENS = 20
ZERO_SHOT_TOKENS = 256

# The reference joins "about " and a subject that begins with a space itself: both spaces belong there.
FEW_SHOT_HEADER = "The following are multiple choice questions (with answers) about  {subject}.\n\n"
FEW_SHOT_CUE = "Answer:"


@dataclass(frozen=True, slots=True)
class Wording:
    """The texts in which two tasks differ, to be filled with subject, question and options."""

    zero_shot: str
    lm_eval_header: str
    lm_eval_cue: str
    subject_field: str | None = None
    """The field of the dataset card that names a subject; without one it is the key's words."""


class MultipleChoice:
    """A task of questions with four options, by subject; subclasses give the words.

    Three ways to ask. modeltest with shots: generate, the first character is the answer. modeltest without
    shots: generate a reasoning and extract the answer. lm-eval: the likeliest of four letters.
    """

    name: str
    title: str
    dataset: str
    modes: tuple[Mode, ...]
    wording: Wording
    protocols = PROTOCOLS
    groups: Mapping[str, str] = MappingProxyType({})
    """Title of a group of subjects -> the field of the subject table that is "true" in it."""

    def check(self, spec: RunSpec) -> None:
        """Refuse an unknown protocol or a negative number of shots.

        Raises: SpecError.
        """
        check_protocol(spec)

    def requires(self, spec: RunSpec) -> frozenset[Capability]:
        """Return generation, or choice log-probabilities for lm-eval."""
        is_lm_eval = spec.protocol == LM_EVAL
        return frozenset({Capability.CHOICE_LOGPROBS if is_lm_eval else Capability.GENERATE})

    def requests(self, data: TaskData, spec: RunSpec) -> Iterator[Request]:
        """Yield one request per record.

        Raises: SpecError when a subject has fewer examples than shots asked for; DatasetError when the
        dataset card lacks a subject's name.
        """
        shots: dict[str, Sequence[WorkedExample]] = {}
        for record in data.records:
            if record.subject not in shots:
                shots[record.subject] = _shots(record.subject, data, self._cue(spec), spec)
            yield self._request(record, shots[record.subject], data, spec)

    def score(self, record: Record, data: TaskData, completion: Completion, spec: RunSpec) -> Score:
        """Judge one completion by the rule of the protocol."""
        category = category_of(record, data)
        if spec.protocol == LM_EVAL:
            return score_choices(record, completion, labels=LETTERS, category=category)
        if completion.error or completion.text is None:
            return failed_score(record, completion.error or "the engine gave no text", category=category)
        predicted = _first_character(completion) if shot_count(spec) else _reasoned_answer(completion)
        correct = predicted == record.fields["answer"]
        return score_text(record, completion, predicted, correct=correct, category=category)

    def contradiction(self, spec: RunSpec, score: Score, choice_logprobs: Sequence[float]) -> str | None:
        """Return what in a score cannot be: right is the expected letter, by choices the likeliest."""
        labels = LETTERS if spec.protocol == LM_EVAL else ()
        return contradiction_of(score, choice_logprobs=choice_logprobs, labels=labels)

    def summarize(
        self, samples: Iterable[Sample], data_subjects: Mapping[str, Mapping[str, str]]
    ) -> AccuracySummary:
        """Return micro and macro accuracy, by subject, by category and by group."""
        return summarize_accuracy(samples, data_subjects, groups=self.groups, choices=len(LETTERS))

    def _request(
        self, record: Record, shots: Sequence[WorkedExample], data: TaskData, spec: RunSpec
    ) -> Request:
        prompt = self._prompt(record, shots, data, spec)
        if spec.protocol == LM_EVAL:
            return Request(record.id, prompt, choices=_choices(spec))
        if not shots:
            return Request(record.id, prompt, max_new_tokens=ZERO_SHOT_TOKENS)
        return Request(record.id, prompt, max_new_tokens=FEW_SHOT_TOKENS, first_character_only=True)

    def _prompt(
        self, record: Record, shots: Sequence[WorkedExample], data: TaskData, spec: RunSpec
    ) -> Prompt:
        if spec.protocol == LM_EVAL:
            header = self.wording.lm_eval_header.format(subject=self._subject_name(record.subject, data))
        elif shots:
            header = FEW_SHOT_HEADER.format(subject=_words(record.subject))
        else:
            subject = self._subject_name(record.subject, data)
            question = self.wording.zero_shot.format_map({**record.fields, "subject": subject})
            return lay_out("", (), question, chat=spec.chat)
        return lay_out(header, shots, _question(record, self._cue(spec), spec), chat=spec.chat)

    def _subject_name(self, subject: str, data: TaskData) -> str:
        field = self.wording.subject_field
        if field is None:
            return _words(subject)
        name = data.subjects.get(subject, {}).get(field)
        if not name:
            raise DatasetError(
                f"the dataset card of {self.dataset} has no {field!r} for subject {subject!r}; add it there"
            )
        return name

    def _cue(self, spec: RunSpec) -> str:
        return self.wording.lm_eval_cue if spec.protocol == LM_EVAL else FEW_SHOT_CUE


def _words(subject: str) -> str:
    return subject.replace("_", " ")


def _question(record: Record, cue: str, spec: RunSpec) -> str:
    fields = record.fields
    question = fields["question"].strip() if spec.protocol == LM_EVAL else fields["question"]
    options = "".join(f"{letter}. {fields[letter]}\n" for letter in LETTERS)
    return f"{question}\n{options}{cue}"


def _shots(subject: str, data: TaskData, cue: str, spec: RunSpec) -> Sequence[WorkedExample]:
    records = first_shots(data.shots.get(subject, ()), shot_count(spec), subject=subject)
    return [WorkedExample(_question(record, cue, spec), record.fields["answer"]) for record in records]


def _choices(spec: RunSpec) -> tuple[str, ...]:
    # lm-evaluation-harness puts no space before a choice that follows a chat template.
    return LETTERS if spec.chat else tuple(f" {letter}" for letter in LETTERS)


def _first_character(completion: Completion) -> str | None:
    return (completion.text or "").lstrip()[:1] or None


def _reasoned_answer(completion: Completion) -> str | None:
    answer = extract_answer(completion.text or "")
    if answer is None:
        return None
    # A letter that merely occurs in a reasoning cut short is not what the model was about to conclude.
    if completion.finish is Finish.LENGTH and not answer.is_stated:
        return None
    return answer.letter
