"""What the page of an accuracy run shows: subjects, what was answered instead, plots and all questions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from modeltest.api import AccuracySummary, Proportion, RunResult, Sample, WithoutTokens
from reports.page.texts import Texts
from reports.plots.accuracy_plots import Margins, accuracy_plots
from reports.run_page.content import Content
from reports.run_page.questions import FAILED, columns, state_of

MOST_QUESTIONS = 20_000
"""Of more questions a page shows none: it would be as large as the journal, and so would its memory."""

_MOST_ANSWERS = 8
"""With more different right answers than these the table of answers is too wide to be read."""


@dataclass(frozen=True, slots=True)
class SubjectRow:
    """A line of the table of subjects."""

    name: str
    category: str
    proportion: Proportion


@dataclass(frozen=True, slots=True)
class AnswerTable:
    """How often each answer was given where another, or the same, was right."""

    answers: Sequence[str]
    rows: Sequence[tuple[str, Sequence[int], int]]
    """The right answer, how often each of `answers` was given, and how often none."""


@dataclass(slots=True)
class _Seen:
    """What one pass over the samples counts."""

    categories: dict[str, str] = field(default_factory=dict)
    answers: Counter[tuple[str, str | None]] = field(default_factory=Counter)
    right: list[float] = field(default_factory=list)
    wrong: list[float] = field(default_factory=list)

    def add(self, sample: Sample) -> None:
        score = sample.score
        self.categories.setdefault(score.subject, score.category)
        if state_of(score) == FAILED:
            return
        self.answers[score.expected, score.predicted] += 1
        if score.margin is not None:
            (self.right if score.correct else self.wrong).append(score.margin)


def accuracy_content(result: RunResult, summary: AccuracySummary, texts: Texts) -> Content:
    """Return what the page shows of `result`."""
    are_shown = summary.micro.total <= MOST_QUESTIONS
    samples = _in_order(_answers(result.samples), summary) if are_shown else result.samples
    seen = _Seen()
    for sample in samples:
        seen.add(sample)
    expected = sorted({expected for expected, _ in seen.answers})
    chance = summary.guess_rate
    # A number that a question asks for is among no answers to choose from, however few questions there are.
    is_closed = chance is not None and 1 < len(expected) <= _MOST_ANSWERS
    margins = Margins(seen.right, seen.wrong, summary.near_tie_margin)
    questions = columns(result, samples, near_tie_margin=summary.near_tie_margin) if are_shown else None
    return Content(
        kind="accuracy",
        plots=accuracy_plots(summary, margins, chance=chance, texts=texts),
        values={
            "chance": chance,
            "subjects": [
                SubjectRow(name, seen.categories.get(name, ""), proportion)
                for name, proportion in summary.subjects.items()
            ],
            "answers": _answer_table(seen.answers, expected) if is_closed else None,
            "questions": questions,
            "has_prompts": questions is not None
            and any(text is not None for text in _list(questions["question"])),
        },
    )


def _list(value: object) -> list[object]:
    assert isinstance(value, list)
    return value


def _in_order(samples: Iterable[Sample], summary: AccuracySummary) -> list[Sample]:
    """Return the samples by subject, in the order of the dataset, and row."""
    places = {name: place for place, name in enumerate(summary.subjects)}

    def place(sample: Sample) -> tuple[int, int, str]:
        name, _, row = sample.score.request_id.rpartition("/")
        return places.get(sample.score.subject, len(places)), int(row) if row.isdecimal() else 0, name

    return sorted(samples, key=place)


def _answers(samples: Iterable[Sample]) -> Iterable[Sample]:
    """Return samples without token ids: with them, all samples at once would fill the memory."""
    if isinstance(samples, WithoutTokens):
        return samples.without_tokens()
    return (
        replace(
            each, completion=replace(each.completion, prompt_tokens=(), output_tokens=(), choice_tokens=())
        )
        for each in samples
    )


def _answer_table(counted: Counter[tuple[str, str | None]], expected: Sequence[str]) -> AnswerTable:
    """Return the table for the right answers; answers that are never right count as none of them."""
    rows = []
    for right in expected:
        given = [counted[right, answer] for answer in expected]
        total = sum(count for (each, _), count in counted.items() if each == right)
        rows.append((right, given, total - sum(given)))
    return AnswerTable(expected, rows)
