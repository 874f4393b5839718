"""Questions with two to ten options: their prompts and scoring. MMLU and C-Eval are such tasks.

A task of this kind is data: a dataset card whose `answers` are letters, and a class with names. Words in
which it differs are its `Wording`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

from modeltest.api import (
    FEWEST_OPTIONS,
    OPTION_LETTERS,
    AccuracySummary,
    Capability,
    Completion,
    DatasetError,
    Finish,
    Prompt,
    Record,
    Request,
    RunSpec,
    Sample,
    Score,
    SpecError,
    TaskData,
)
from modeltest.summary import summarize_accuracy
from modeltest.tasks.answers import extract_answer
from modeltest.tasks.dataset_task import DatasetTask
from modeltest.tasks.prompts import WorkedExample, lay_out
from modeltest.tasks.protocols import LM_EVAL, first_shots, shot_count
from modeltest.tasks.scoring import category_of, contradiction_of, failed_score, score_choices, score_text

FEW_SHOT_TOKENS = 20
ZERO_SHOT_TOKENS = 256

# The reference joins "about " and a subject that begins with a space itself: both spaces belong there.
FEW_SHOT_HEADER = "The following are multiple choice questions (with answers) about  {subject}.\n\n"
FEW_SHOT_CUE = "Answer:"


@dataclass(frozen=True, slots=True)
class Wording:
    """The texts in which two tasks differ; what stands in braces is filled in."""

    zero_shot: str
    """With the fields of the question, `{subject}`, `{options}` (a line each, as in `A. yes`) and `{letters}`
    (as in `A, B or C`)."""

    lm_eval_header: str
    """With `{subject}`."""

    lm_eval_cue: str
    subject_field: str | None = None
    """The field of the dataset card that names a subject; without one it is the key's words."""


ENGLISH = Wording(
    zero_shot=(
        "\nThere is a single choice question about {subject}. "
        "Answer the question by replying {letters}.\n"
        "Q: {question}\n{options}"
        "Let's think step by step. A: "
    ),
    lm_eval_header="The following are multiple choice questions (with answers) about {subject}.\n\n",
    lm_eval_cue="Answer:",
)
"""Source: MMLU in MindIE-LLM tests/modeltest and in lm-evaluation-harness 0.4.13 tasks/mmlu/default."""


class MultipleChoice(DatasetTask):
    """A task of questions with two to ten options, by subject; a subclass gives names and, if need be, words.

    Three ways to ask. modeltest with shots: generate, the first character is the answer. modeltest without
    shots: generate a reasoning and extract the answer. lm-eval: the likeliest of the letters.
    """

    wording: Wording = ENGLISH
    option_count: int | None = None
    """How many options every question has; `None`: each as many as its record says."""

    groups: Mapping[str, str] = MappingProxyType({})
    """Title of a group of subjects -> the field of the subject table that is "true" in it."""

    def requires(self, spec: RunSpec) -> frozenset[Capability]:
        """Return generation, or choice log-probabilities for lm-eval."""
        is_lm_eval = spec.protocol == LM_EVAL
        return frozenset({Capability.CHOICE_LOGPROBS if is_lm_eval else Capability.GENERATE})

    def requests(self, data: TaskData, spec: RunSpec) -> Iterator[Request]:
        """Yield one request per record.

        Raises: SpecError when a subject has fewer examples than shots asked for; DatasetError when the
        dataset card lacks a subject's name, or a record its options.
        """
        shots: dict[str, Sequence[WorkedExample]] = {}
        for record in data.records:
            if record.subject not in shots:
                shots[record.subject] = _shots(record.subject, data, self._cue(spec), spec)
            yield self._request(record, shots[record.subject], data, spec)

    def score(self, record: Record, data: TaskData, completion: Completion, spec: RunSpec) -> Score:
        """Judge one completion by the rule of the protocol."""
        category, letters = category_of(record, data), options_of(record)
        if spec.protocol == LM_EVAL:
            scored = score_choices(record, completion, labels=letters, category=category)
            return self._with_choices(scored, letters)
        if completion.error or completion.text is None:
            return failed_score(record, completion.error or "the engine gave no text", category=category)
        is_reasoned = not shot_count(spec)
        predicted = _reasoned_answer(completion, letters) if is_reasoned else _first_character(completion)
        correct = predicted == record.fields["answer"]
        scored = score_text(record, completion, predicted, correct=correct, category=category)
        return self._with_choices(scored, letters)

    def contradiction(self, spec: RunSpec, score: Score, choice_logprobs: Sequence[float]) -> str | None:
        """Return what in a score cannot be: right is the expected letter, by choices the likeliest."""
        offered = self.option_count or score.choices or len(choice_logprobs)
        labels = OPTION_LETTERS[:offered] if spec.protocol == LM_EVAL else ()
        return contradiction_of(score, choice_logprobs=choice_logprobs, labels=labels)

    def summarize(
        self, samples: Iterable[Sample], data_subjects: Mapping[str, Mapping[str, str]]
    ) -> AccuracySummary:
        """Return micro and macro accuracy, by subject, by category and by group."""
        return summarize_accuracy(samples, data_subjects, groups=self.groups, choices=self.option_count)

    def _with_choices(self, score: Score, letters: Sequence[str]) -> Score:
        return score if self.option_count is not None else replace(score, choices=len(letters))

    def _request(
        self, record: Record, shots: Sequence[WorkedExample], data: TaskData, spec: RunSpec
    ) -> Request:
        prompt = self._prompt(record, shots, data, spec)
        if spec.protocol == LM_EVAL:
            return Request(record.id, prompt, choices=_choices(record, spec))
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
            return lay_out("", (), self._asked_alone(record, subject), chat=spec.chat)
        return lay_out(header, shots, _question(record, self._cue(spec), spec), chat=spec.chat)

    def _asked_alone(self, record: Record, subject: str) -> str:
        *first, last = options_of(record)
        values = {
            **record.fields,
            "subject": subject,
            "options": _option_lines(record),
            "letters": f"{', '.join(first)} or {last}",
        }
        try:
            return self.wording.zero_shot.format_map(values)
        except (LookupError, ValueError, AttributeError) as problem:
            raise SpecError(
                f"the wording of task {self.name!r} cannot be filled in: {problem}; "
                f"there are {', '.join(values)}"
            ) from problem

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


def options_of(record: Record) -> tuple[str, ...]:
    """Return the letters of the options that a question has.

    Raises: DatasetError when they are fewer than two, or have a gap.
    """
    letters = tuple(letter for letter in OPTION_LETTERS if letter in record.fields)
    if len(letters) < FEWEST_OPTIONS or letters != OPTION_LETTERS[: len(letters)]:
        raise DatasetError(
            f"{record.id} has the options {', '.join(letters) or 'none'}; expected the fields A, B ... "
            f"without a gap, {FEWEST_OPTIONS} to {len(OPTION_LETTERS)} of them"
        )
    return letters


def _option_lines(record: Record) -> str:
    return "".join(f"{letter}. {record.fields[letter]}\n" for letter in options_of(record))


def _words(subject: str) -> str:
    return subject.replace("_", " ")


def _question(record: Record, cue: str, spec: RunSpec) -> str:
    fields = record.fields
    question = fields["question"].strip() if spec.protocol == LM_EVAL else fields["question"]
    return f"{question}\n{_option_lines(record)}{cue}"


def _shots(subject: str, data: TaskData, cue: str, spec: RunSpec) -> Sequence[WorkedExample]:
    records = first_shots(data.shots.get(subject, ()), shot_count(spec), subject=subject)
    return [WorkedExample(_question(record, cue, spec), record.fields["answer"]) for record in records]


def _choices(record: Record, spec: RunSpec) -> tuple[str, ...]:
    # lm-evaluation-harness puts no space before a choice that follows a chat template.
    letters = options_of(record)
    return letters if spec.chat else tuple(f" {letter}" for letter in letters)


def _first_character(completion: Completion) -> str | None:
    return (completion.text or "").lstrip()[:1] or None


def _reasoned_answer(completion: Completion, letters: Sequence[str]) -> str | None:
    answer = extract_answer(completion.text or "", options=len(letters))
    if answer is None:
        return None
    # A letter that merely occurs in a reasoning cut short is not what the model was about to conclude.
    if completion.finish is Finish.LENGTH and not answer.is_stated:
        return None
    return answer.letter
