"""What a reader should know of a result: the codes of all findings, and each in an English sentence. Pure.

A finding is decided on by its code and values; the sentence is made of them here, for terminal and pages.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from modeltest.api import Finding

BELOW_GUESSING = "below_guessing"
JOURNAL_WITHOUT_DIGESTS = "journal_without_digests"
ONE_ANSWER = "one_answer"
QUESTIONS_AMONG_SHOTS = "questions_among_shots"
REPEATED_QUESTIONS = "repeated_questions"

OF_QUESTIONS = frozenset({QUESTIONS_AMONG_SHOTS, REPEATED_QUESTIONS})
"""What only the worker sees, who reads the questions: it is told once, and kept."""


def sentences(findings: Iterable[Finding]) -> tuple[str, ...]:
    """Return each finding as a sentence; one that is not known here by its code and values."""
    return tuple(_SENTENCES.get(each.code, _by_its_values)(each) for each in findings)


def _by_its_values(finding: Finding) -> str:
    values = ", ".join(f"{name} {value}" for name, value in finding.values.items())
    return f"{finding.code}: {values}" if values else finding.code


def _journal_without_digests(_: Finding) -> str:
    return (
        "samples.jsonl was begun by a version that wrote no digests: its lines are checked against "
        "themselves alone, so not every change would be seen"
    )


def _below_guessing(finding: Finding) -> str:
    values: Mapping[str, Any] = finding.values
    said = ", ".join(
        f"{answer!r:.20} {count}" for answer, count in zip(values["answers"], values["counts"], strict=True)
    )
    return (
        f"{values['correct'] / values['questions']:.2%} of {values['questions']} questions are answered "
        f"right, guessing gives {values['guess_rate']:.2%} (p = {values['p_value']:.2g}): the prompt, "
        f"the chat template or the form of the answer is likely wrong; "
        f"the most frequent answers: {said or 'none'}"
    )


def _one_answer(finding: Finding) -> str:
    values: Mapping[str, Any] = finding.values
    return (
        f"{values['count']} of {values['questions']} answers are {values['answer']!r:.20}, which is right in "
        f"{values['expected']}: the answers hardly depend on the questions"
    )


def _questions_among_shots(finding: Finding) -> str:
    values: Mapping[str, Any] = finding.values
    are, them = ("question is", "it") if values["count"] == 1 else ("questions are", "them")
    return (
        f"{values['count']} {are} among the worked examples before {them}, which give the answer away: "
        f"{_named(values)}"
    )


def _repeated_questions(finding: Finding) -> str:
    values: Mapping[str, Any] = finding.values
    are = "question is that of another" if values["count"] == 1 else "questions are those of others"
    return f"{values['count']} {are} again, word for word: {_named(values)}"


def _named(values: Mapping[str, Any]) -> str:
    named: Sequence[str] = values["questions"]
    more = values["count"] - len(named)
    return ", ".join(named) + (f" and {more} more" if more else "")


_SENTENCES: Mapping[str, Callable[[Finding], str]] = {
    BELOW_GUESSING: _below_guessing,
    JOURNAL_WITHOUT_DIGESTS: _journal_without_digests,
    ONE_ANSWER: _one_answer,
    QUESTIONS_AMONG_SHOTS: _questions_among_shots,
    REPEATED_QUESTIONS: _repeated_questions,
}
