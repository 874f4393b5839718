"""Contracts of a pack as JSON lines, and back. What a field has by default is left out. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import MISSING, dataclass, fields
from typing import Any, TypeVar

from modeltest.api import PackAnswer, PackQuestion, PackText, PackWording, Record
from modeltest.packs.layout import MOST_PROMPT_TOKENS
from modeltest.packs.prefixes import Ids, SharedPrefixes
from modeltest.plain.contracts import from_plain, to_plain
from modeltest.plain.json_text import parse_json

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class PrefixLine:
    """Token ids that prompts begin with; they are numbered from 0 by their lines."""

    ids: Ids


@dataclass(frozen=True, slots=True)
class QuestionLine:
    """A question. Its id is that of task and record, its prompt is `prompt` behind the prefix of a number."""

    task: str
    record: Record
    prompt: Ids
    prefix: int | None = None
    choices: tuple[Ids, ...] = ()
    max_new_tokens: int = 0
    stop: tuple[str, ...] = ()
    first_character_only: bool = False


def question_id(task: str, record: str) -> str:
    """Return what a pack calls the question of a record of a task."""
    return f"{task}/{record}"


def prefix_lines(shared: SharedPrefixes) -> bytes:
    """Return the member of shared beginnings."""
    return _lines(map(PrefixLine, shared.prefixes))


def question_lines(questions: Iterable[PackQuestion], shared: SharedPrefixes) -> bytes:
    """Return the member of questions."""
    return _lines(_line_of(question, shared) for question in questions)


def text_lines(texts: Iterable[PackText]) -> bytes:
    """Return the member of texts."""
    return _lines(texts)


def wording_lines(wordings: Iterable[PackWording]) -> bytes:
    """Return the member of questions as text."""
    return _lines(wordings)


def answer_lines(answers: Iterable[PackAnswer]) -> bytes:
    """Return a member of answers."""
    return _lines(answers)


def read_prefixes(data: bytes) -> list[Ids]:
    """Return the shared beginnings. Raises, as all that follow: ValueError naming the line."""
    return [line.ids for _, line in _read(data, PrefixLine)]


def read_questions(data: bytes, prefixes: Sequence[Ids]) -> list[PackQuestion]:
    """Return the questions, their prompts put together."""
    questions, tokens = [], 0
    for number, line in _read(data, QuestionLine):
        before = _prefix_of(number, line, prefixes)
        tokens += len(before) + len(line.prompt)
        if tokens > MOST_PROMPT_TOKENS:  # a long beginning that many name would fill the memory
            raise ValueError(
                f"line {number}: all prompts together have more than {MOST_PROMPT_TOKENS} tokens"
            )
        questions.append(_question_of(line, before))
    return questions


def read_texts(data: bytes) -> list[PackText]:
    """Return the texts."""
    return [line for _, line in _read(data, PackText)]


def read_wordings(data: bytes) -> list[PackWording]:
    """Return the questions as text."""
    return [line for _, line in _read(data, PackWording)]


def read_answers(data: bytes) -> list[PackAnswer]:
    """Return the answers of one computation."""
    return [line for _, line in _read(data, PackAnswer)]


def compact(value: object) -> bytes:
    """Return plain values as JSON without blanks.

    Raises: ValueError for NaN and infinity.
    """
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()


def _line_of(question: PackQuestion, shared: SharedPrefixes) -> QuestionLine:
    return QuestionLine(
        task=question.task,
        record=question.record,
        prompt=question.prompt[shared.length(question) :],
        prefix=shared.of.get(question.id),
        choices=question.choices,
        max_new_tokens=question.max_new_tokens,
        stop=question.stop,
        first_character_only=question.first_character_only,
    )


def _prefix_of(number: int, line: QuestionLine, prefixes: Sequence[Ids]) -> Ids:
    if line.prefix is None:
        return ()
    if not 0 <= line.prefix < len(prefixes):
        raise ValueError(
            f"line {number}: there is no prefix {line.prefix}; {len(prefixes)} are there, from 0"
        )
    return prefixes[line.prefix]


def _question_of(line: QuestionLine, before: Ids) -> PackQuestion:
    return PackQuestion(
        id=question_id(line.task, line.record.id),
        task=line.task,
        record=line.record,
        prompt=before + line.prompt,
        choices=line.choices,
        max_new_tokens=line.max_new_tokens,
        stop=line.stop,
        first_character_only=line.first_character_only,
    )


def _lines(values: Iterable[Any]) -> bytes:
    return b"".join(compact(_without_defaults(value)) + b"\n" for value in values)


def _without_defaults(value: Any) -> dict[str, Any]:
    return {
        field.name: to_plain(found)
        for field in fields(value)
        if (found := getattr(value, field.name)) != field.default or field.default is MISSING
    }


def _read(data: bytes, kind: type[T]) -> Iterator[tuple[int, T]]:
    if not data:
        return
    *lines, rest = data.split(b"\n")
    if rest:
        raise ValueError(f"line {len(lines) + 1}: it has no end")
    for number, line in enumerate(lines, start=1):
        try:
            yield number, from_plain(kind, parse_json(line))
        except ValueError as problem:
            raise ValueError(f"line {number}: {getattr(problem, 'reason', problem)}") from None
