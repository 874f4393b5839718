"""The words on the pages, in every language they speak: `texts/*.toml`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path

from modeltest.findings import LANGUAGES
from modeltest.plain.toml_file import read_toml

SHARED = "page"
"""The file whose texts every page has."""

Texts = Mapping[str, Mapping[str, str]]
"""Key -> language -> text; `{name}` in a text stands for an argument."""

_FOLDER = Path(__file__).parent / "texts"
_ARGUMENT = re.compile(r"\{(\w+)\}")


def load_texts(names: Iterable[str]) -> Texts:
    """Return the texts of the files `names` and of the shared one.

    Raises: ValueError when a text lacks a language or two files give one key.
    """
    found: dict[str, Mapping[str, str]] = {}
    for name in dict.fromkeys((SHARED, *names)):
        for key, text in _texts_in(name).items():
            if key in found:
                raise ValueError(f"texts/{name}.toml: {key!r} is in another file already")
            found[key] = text
    return found


def fill(text: str, arguments: Mapping[str, object]) -> str:
    """Return `text` with the value of each argument in place of its name; as `fill` of page.js does."""
    return _ARGUMENT.sub(lambda match: str(arguments[match[1]]), text)


@cache
def _texts_in(name: str) -> Texts:
    return dict(_flat(read_toml(_FOLDER / f"{name}.toml"), ""))


def _flat(table: Mapping[str, object], prefix: str) -> Iterable[tuple[str, dict[str, str]]]:
    for key, value in table.items():
        if not isinstance(value, dict):
            raise ValueError(f"texts: {prefix}{key} is no table of languages")
        if set(value) == set(LANGUAGES) and all(isinstance(text, str) for text in value.values()):
            yield f"{prefix}{key}", value
        else:
            yield from _flat(value, f"{prefix}{key}.")
