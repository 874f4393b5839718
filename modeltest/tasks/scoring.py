"""Scores from what an engine returned: failed requests and choices by log-probability."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from operator import eq

from modeltest.api import Completion, Finish, Record, Score, TaskData


@dataclass(frozen=True, slots=True)
class BestChoice:
    """The index of the likeliest choice and how far it is ahead of the next one."""

    index: int
    margin: float | None


def best_choice(logprobs: Sequence[float], *, last_wins_ties: bool = False) -> BestChoice:
    """Return the choice of the highest log-probability; equal ones go to the first, or to the last.

    `margin` is `None` where it is not a finite number: one choice only, or an impossible runner-up.
    """
    positions = range(len(logprobs))
    best = max(reversed(positions) if last_wins_ties else positions, key=logprobs.__getitem__)
    others = [value for position, value in enumerate(logprobs) if position != best]
    return BestChoice(best, _difference(logprobs[best], max(others)) if others else None)


def category_of(record: Record, data: TaskData) -> str:
    """Return the category the dataset card gives the record's subject; empty without one."""
    return data.subjects.get(record.subject, {}).get("category", "")


def score_choices(
    record: Record,
    completion: Completion,
    *,
    labels: Sequence[str],
    category: str = "",
    last_wins_ties: bool = False,
) -> Score:
    """Score a completion by its choices; `labels[i]` is the answer that choice `i` stands for.

    Log-probabilities that are missing or not numbers make a failed request: a model that overflowed has
    not answered, and the argmax over NaN would look like an answer.
    """
    error = completion.error or _fault(completion.choice_logprobs, len(labels))
    if error:
        return failed_score(record, error, category=category)
    best = best_choice(completion.choice_logprobs, last_wins_ties=last_wins_ties)
    expected = record.fields["answer"]
    return Score(
        request_id=record.id,
        subject=record.subject,
        category=category,
        expected=expected,
        predicted=labels[best.index],
        correct=labels[best.index] == expected,
        margin=best.margin,
    )


def contradiction_of(
    score: Score,
    *,
    choice_logprobs: Sequence[float] = (),
    labels: Sequence[str] = (),
    last_wins_ties: bool = False,
    agree: Callable[[str | None, str], bool] = eq,
) -> str | None:
    """Return what in the score of an answered question cannot be; `None` where all of it can.

    Right is whose answer and the expected one `agree`: are the same, unless the task has another rule, which
    may raise ValueError. With `labels`, the answer is that of the likeliest choice, and the margin is its
    distance to the next.
    """
    try:
        is_right = agree(score.predicted, score.expected)
    except ValueError as problem:
        return f"{score.predicted!r} was answered and {score.expected!r} is expected: {problem}"
    if score.correct is not is_right:
        return (
            f"correct is {str(score.correct).lower()}, but {score.predicted!r} was answered "
            f"and {score.expected!r} is expected"
        )
    if not labels or not choice_logprobs:
        return None
    if fault := _fault(choice_logprobs, len(labels)):
        return fault
    best = best_choice(choice_logprobs, last_wins_ties=last_wins_ties)
    if score.predicted != labels[best.index]:
        return f"predicted is {score.predicted!r}, but the likeliest choice is {labels[best.index]!r}"
    if score.margin != best.margin:
        return f"margin is {score.margin}, but the best two choices are {best.margin} apart"
    return None


def score_text(
    record: Record,
    completion: Completion,
    predicted: str | None,
    *,
    correct: bool,
    category: str = "",
    expected: str | None = None,
) -> Score:
    """Return the score of a text that holds the answer `predicted`, or none.

    A text that was cut before its answer is truncated: "no answer" would blame the model for the limit. A cut
    behind it is no fault. `expected` is the right answer where the record's is longer than that.
    """
    is_cut = predicted is None and completion.finish is Finish.LENGTH
    return Score(
        request_id=record.id,
        subject=record.subject,
        category=category,
        expected=record.fields["answer"] if expected is None else expected,
        predicted=predicted,
        correct=correct,
        no_answer=predicted is None and not is_cut,
        truncated=is_cut,
    )


def failed_score(record: Record, error: str, *, category: str = "", expected: str | None = None) -> Score:
    """Return the score of a request that was not completed: failed, neither right nor wrong.

    `expected` is the right answer where the record's is longer than that.
    """
    return Score(
        request_id=record.id,
        subject=record.subject,
        category=category,
        expected=record.fields["answer"] if expected is None else expected,
        error=error,
    )


def _difference(best: float, second: float) -> float | None:
    if best == second:
        return 0.0
    difference = best - second
    return difference if math.isfinite(difference) else None


def _fault(logprobs: Sequence[float], expected: int) -> str | None:
    if len(logprobs) != expected:
        return f"the engine gave {len(logprobs)} log-probabilities for {expected} choices"
    if any(math.isnan(value) or value == math.inf for value in logprobs):
        shown = ", ".join(str(value) for value in logprobs)
        return f"the engine gave log-probabilities that are not numbers: {shown}"
    return None
