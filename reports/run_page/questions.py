"""All questions of an accuracy run by columns: as small as a page needs to show 14,000 of them.

What repeats is said once: subjects, answers, sets of choices, and the header and worked examples that the
prompts of a subject share. `questions.js` reads what `columns` gives.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from modeltest.api import ChatPrompt, Prompt, Question, RunResult, Sample, Score, TextPrompt

RIGHT, WRONG, NO_ANSWER, TRUNCATED, FAILED = "rwntf"
"""States of a question, one letter each."""

_DIGITS = 6

Part = tuple[str, str]
"""Who says what in a prompt: header, shot or question of a text; the role of a turn."""


@dataclass(slots=True)
class Distinct:
    """Values in the order of their first use, each with its number."""

    values: list[object] = field(default_factory=list)
    _numbers: dict[object, int] = field(default_factory=dict)

    def number(self, value: object) -> int:
        """Return the number of `value`."""
        known = self._numbers.setdefault(value, len(self.values))
        if known == len(self.values):
            self.values.append(value)
        return known


def columns(result: RunResult, samples: Iterable[Sample], *, near_tie_margin: float) -> dict[str, object]:
    """Return the questions of `samples`, in their order, as JSON values.

    A prompt is there where the dataset still gives the one that was asked.
    """
    asked = {question.request.id: question for question in result.questions}
    subjects, answers, choices, prefixes = Distinct(), Distinct(), Distinct(), Distinct()
    found: dict[str, list[object]] = {
        name: [] for name in ("id", "subject", "state", "expected", "predicted", "margin", "logprobs")
    }
    found |= {name: [] for name in ("choices", "prefix", "question", "text")}
    notes: dict[str, dict[int, object]] = {"error": {}, "dropped_shots": {}, "cut_tokens": {}}
    for index, sample in enumerate(samples):
        score, completion = sample.score, sample.completion
        question = _asked(sample, asked)
        found["id"].append(score.request_id)
        found["subject"].append(subjects.number(score.subject))
        found["state"].append(state_of(score))
        found["expected"].append(answers.number(score.expected))
        found["predicted"].append(-1 if score.predicted is None else answers.number(score.predicted))
        found["margin"].append(_rounded(score.margin))
        found["logprobs"].append([_rounded(value) for value in completion.choice_logprobs])
        found["text"].append(completion.text)
        found["choices"].append(choices.number(_choices(question)))
        prefix, own = _parts(question.request.prompt) if question else ((), None)
        found["prefix"].append(-1 if own is None else prefixes.number(prefix))
        found["question"].append(own)
        for name, value in (
            ("error", score.error),
            ("dropped_shots", completion.dropped_shots),
            ("cut_tokens", completion.cut_prompt_tokens),
        ):
            if value:
                notes[name][index] = value
    return {
        **found,
        "state": "".join(map(str, found["state"])),
        "subjects": subjects.values,
        "answers": answers.values,
        "choice_sets": choices.values,
        "prefixes": prefixes.values,
        "near_tie": near_tie_margin,
        **notes,
    }


def state_of(score: Score) -> str:
    """Return the state of a question: one letter."""
    if score.correct is None:
        return FAILED
    if score.correct:
        return RIGHT
    return NO_ANSWER if score.no_answer else TRUNCATED if score.truncated else WRONG


def _asked(sample: Sample, asked: Mapping[str, Question]) -> Question | None:
    question = asked.get(sample.score.request_id)
    return question if question and question.prompt_sha256 == sample.prompt_sha256 else None


def _choices(question: Question | None) -> tuple[str, ...]:
    if question is None:
        return ()
    return tuple(
        choice if isinstance(choice, str) else str(list(choice)) for choice in question.request.choices
    )


def _parts(prompt: Prompt) -> tuple[tuple[Part, ...], list[Part] | str | None]:
    """Return what a prompt shares with others, and its own question: a text, or turns."""
    if isinstance(prompt, TextPrompt):
        header = (("header", prompt.header),) if prompt.header else ()
        return (*header, *(("shot", shot) for shot in prompt.shots)), prompt.question
    if isinstance(prompt, ChatPrompt):
        shared = (*prompt.header, *(turn for shot in prompt.shots for turn in shot))
        return (
            tuple((turn.role, turn.content) for turn in shared),
            [(turn.role, turn.content) for turn in prompt.question],
        )
    return (), str(list(prompt.ids))


def _rounded(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.{_DIGITS}g}")
