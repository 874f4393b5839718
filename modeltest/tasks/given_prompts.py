"""The prompts of the single modes as users write them: a list of token ids, texts, or lists of token ids."""

from __future__ import annotations

import ast

from modeltest.api import SpecError
from modeltest.plain.json_text import JsonError, parse_json

GivenPrompt = str | tuple[int, ...]
"""One prompt: its text, or its token ids."""

_FORMS = 'token ids such as [1,2,3], texts such as ["hello","hi"], or lists of token ids such as [[1,2],[3]]'


def is_list(text: str) -> bool:
    """Say whether `text` is meant as a list; anything else names a file."""
    return text.lstrip().startswith("[")


def parse_prompts(text: str, *, where: str) -> tuple[GivenPrompt, ...]:
    """Return the prompts in `text`, a list as JSON or Python writes it; a list of token ids is one prompt.

    `where` says in messages what held the list.

    Raises: SpecError naming the element that does not fit.
    """
    if not text.strip():
        raise SpecError(f"{where} is empty; expected a list of {_FORMS}")
    items = _read_list(text, where)
    if all(isinstance(item, str) for item in items):
        return tuple(_text(item, index, where) for index, item in enumerate(items))
    rows = [item for item in items if isinstance(item, (list, tuple))]
    if len(rows) == len(items):
        return tuple(_token_ids(row, f"{where}, prompt {index}") for index, row in enumerate(rows))
    return (_token_ids(items, where),)


def _read_list(text: str, where: str) -> list[object]:
    try:
        value = parse_json(text)
    except JsonError:
        value = _read_python(text, where)
    if not isinstance(value, list):
        raise SpecError(f"{where} is {_short(value)}, not a list; expected a list of {_FORMS}")
    if not value:
        raise SpecError(f"{where} is an empty list; expected a list of {_FORMS}")
    return value


def _read_python(text: str, where: str) -> object:
    try:
        return ast.literal_eval(text.strip())
    except (ValueError, SyntaxError, RecursionError, MemoryError):
        raise SpecError(
            f"{where} is not a list: {text.strip()!r:.60}; expected a list of {_FORMS}, in quotes where a "
            "shell would split it"
        ) from None


def _token_ids(items: list[object] | tuple[object, ...], where: str) -> tuple[int, ...]:
    if not items:
        raise SpecError(f"{where} has no token ids; give one or more")
    for index, item in enumerate(items):
        if isinstance(item, bool) or not isinstance(item, int):
            raise SpecError(
                f"{where}: element {index} is {_short(item)}, not a token id; expected a list of {_FORMS}"
            )
        if item < 0:
            raise SpecError(f"{where}: element {index} is {item}; a token id is 0 or more")
    return tuple(item for item in items if isinstance(item, int))


def _text(item: object, index: int, where: str) -> str:
    text = str(item)
    if not text:
        raise SpecError(f"{where}: element {index} is an empty text; a prompt has at least one character")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise SpecError(f"{where}: element {index} holds half a character; expected text") from None
    return text


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:37]}..."
