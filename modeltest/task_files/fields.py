"""A row of a task file's data as the fields of a record: every column as text, and what its kind needs."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from modeltest.api import FEWEST_OPTIONS, OPTION_LETTERS
from modeltest.task_files.answers import LONGEST, expected_answer
from modeltest.task_files.declaration import AnswerForm, Declaration, Kind
from modeltest.task_files.keys import names_in

Cells = Mapping[str, Any]
Fields = dict[str, str]
ToFields = Callable[[Cells], Fields]
"""Raises: ValueError saying what is wrong with a row."""

ANSWER = "answer"
_QUESTION = "question"
_FILLED_IN = frozenset({"subject", "options", "letters", _QUESTION, *OPTION_LETTERS})
"""What a wording may name beside the columns."""

_YES = {"yes": "yes", "true": "yes", "1": "yes", "no": "no", "false": "no", "0": "no"}


def to_fields(declaration: Declaration) -> ToFields:
    """Return what makes fields of the rows of this task."""
    make = _OF_KIND[declaration.kind]
    return lambda cells: make(declaration, cells)


def plain_fields(cells: Cells) -> Fields:
    """Return every column as text, for a task in Python; one of them is the answer.

    Raises: ValueError.
    """
    return {**_texts(cells), ANSWER: _required(cells, ANSWER)}


def _choices(declaration: Declaration, cells: Cells) -> Fields:
    options = _options(declaration, cells)
    letters = OPTION_LETTERS[: len(options)]
    fields = {name: value for name, value in _texts(cells).items() if name not in OPTION_LETTERS}
    _check_names(declaration, "zero_shot", declaration.wording.zero_shot, fields)
    return {
        **fields,
        _QUESTION: _required(cells, declaration.question),
        **dict(zip(letters, options, strict=True)),
        ANSWER: letters[_index_of_answer(declaration, cells, options)],
    }


def _options(declaration: Declaration, cells: Cells) -> list[str]:
    """Return the options of a question, in their order."""
    columns = declaration.options
    if isinstance(columns, str):
        found = cells.get(columns)
        if not isinstance(found, list):
            raise ValueError(f"column {columns!r} is {found!r:.40}; expected a list of options")
        options = [_text(each, columns) for each in found]
    else:
        named = columns or tuple(letter for letter in OPTION_LETTERS if letter in cells)
        if missing := [name for name in named if name not in cells]:
            raise ValueError(f"no column {missing[0]!r}, which is an option")
        options = [_text(cells[name], name) for name in named]
        while options and not options[-1].strip():
            options.pop()
    if not FEWEST_OPTIONS <= len(options) <= len(OPTION_LETTERS):
        raise ValueError(f"{len(options)} options; expected {FEWEST_OPTIONS} to {len(OPTION_LETTERS)}")
    for number, option in enumerate(options):
        if not option.strip():
            raise ValueError(f"option {OPTION_LETTERS[number]} is empty")
        if option in options[:number]:
            raise ValueError(f"option {OPTION_LETTERS[number]} is {option!r:.40}, as one before it")
    return options


def _index_of_answer(declaration: Declaration, cells: Cells, options: list[str]) -> int:
    answer = _required(cells, declaration.answer)
    letters = OPTION_LETTERS[: len(options)]
    known = {
        AnswerForm.LETTER: letters,
        AnswerForm.INDEX: tuple(map(str, range(len(options)))),
        AnswerForm.TEXT: tuple(option.strip() for option in options),
    }[declaration.answers]
    if answer.strip() not in known:
        raise ValueError(f"the answer is {answer!r:.40}; expected one of {', '.join(known):.120}")
    return known.index(answer.strip())


def _yes_no(declaration: Declaration, cells: Cells) -> Fields:
    answer = _required(cells, declaration.answer)
    if answer.strip().lower() not in _YES:
        raise ValueError(f"the answer is {answer!r:.40}; expected yes or no, true or false, 1 or 0")
    fields = _texts(cells)
    _check_names(declaration, "prompt", declaration.prompt, fields)
    return {**fields, ANSWER: _YES[answer.strip().lower()]}


def _generation(declaration: Declaration, cells: Cells) -> Fields:
    answer = _required(cells, declaration.answer)
    expected = expected_answer(declaration, answer)
    if expected is None:
        raise ValueError(f"the answer is {answer!r:.40}, which is empty or no number where it is compared")
    if len(expected) > LONGEST:
        raise ValueError(f"the answer has {len(expected)} characters; at most {LONGEST} are compared")
    fields = _texts(cells)
    _check_names(declaration, "prompt", declaration.prompt, fields)
    return {**fields, ANSWER: answer}


_OF_KIND: Mapping[Kind, Callable[[Declaration, Cells], Fields]] = {
    Kind.CHOICES: _choices,
    Kind.YES_NO: _yes_no,
    Kind.GENERATION: _generation,
}


def _check_names(declaration: Declaration, key: str, template: str, fields: Mapping[str, str]) -> None:
    filled_in = _FILLED_IN if declaration.kind is Kind.CHOICES else frozenset()
    for name in names_in(template):
        if name not in fields and name not in filled_in:
            raise ValueError(f"no text in column {name!r}, which {key} names ({declaration.keys.place(key)})")


def _required(cells: Cells, name: str) -> str:
    if name not in cells:
        raise ValueError(f"no column {name!r}; there are {', '.join(map(repr, cells)):.200}")
    found = _text(cells[name], name)
    if not found.strip():
        raise ValueError(f"column {name!r} is empty")
    return found


def _texts(cells: Cells) -> Fields:
    """Return the columns that hold one value each."""
    return {name: _text(value, name) for name, value in cells.items() if not isinstance(value, (list, dict))}


def _text(value: Any, name: str) -> str:
    """Return a value as text: a number and a truth value as JSON writes it, nothing as none."""
    if value is None:
        return ""
    if not isinstance(value, str):
        if isinstance(value, (list, dict)):
            raise ValueError(f"column {name!r} is {value!r:.40}; expected one value")
        return json.dumps(value)
    try:
        value.encode()
    except UnicodeEncodeError:
        raise ValueError(f"column {name!r} holds half a character") from None
    return value
