"""Reading a checkpoint's JSON files, and finding the line of an entry to point the user at."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from modeltest.api import SpecError
from modeltest.plain.json_text import JsonError, parse_published_json

_TOKENS = re.compile(r'"(?P<key>(?:[^"\\]|\\.)*)"\s*:|"(?:[^"\\]|\\.)*"|(?P<bracket>[{}\[\]])', re.DOTALL)


@dataclass(frozen=True, slots=True)
class JsonFile:
    """A JSON object as read: `raw` for digests, `text` for line numbers, `values` for its content."""

    path: Path
    raw: bytes
    text: str
    values: Mapping[str, Any]

    def place(self, *keys: str) -> str:
        """Return `file:line` of the entry under `keys`, or the file alone when it has none."""
        line = line_of(self.text, keys)
        return str(self.path) if line is None else f"{self.path}:{line}"


def read_json_object(path: Path) -> JsonFile:
    """Read the JSON object in `path`.

    Raises: SpecError naming the file, and the line where it stops being JSON.
    """
    try:
        raw = path.read_bytes()
        # Editors on Windows put a byte order mark in front, which JSON does not allow.
        text = raw.decode("utf-8-sig")
        values = parse_published_json(text)
    except OSError as problem:
        raise SpecError(f"{path} cannot be read: {problem.strerror or problem}") from None
    except UnicodeDecodeError as problem:
        raise SpecError(f"{path} is not JSON: {problem}") from None
    except JsonError as problem:
        if problem.line is not None:
            raise SpecError(f"{path}:{problem.line}: not JSON: {problem.reason}") from None
        raise SpecError(f"{path} is not JSON: {problem}") from None
    if not isinstance(values, dict):
        raise SpecError(f"{path} holds {_kind(values)}; a JSON object is needed")
    return JsonFile(path, raw, text, values)


def line_of(text: str, keys: tuple[str, ...]) -> int | None:
    """Return the line, from 1, of the entry under `keys` in the valid JSON `text`; the last of equals."""
    found = None
    open_keys: list[str | None] = []
    for token in _TOKENS.finditer(text):
        if token["bracket"] is None:
            if token["key"] is not None:
                open_keys[-1] = json.loads(f'"{token["key"]}"', strict=False)
                if tuple(open_keys) == keys:
                    found = text.count("\n", 0, token.start()) + 1
        elif token["bracket"] in "{[":
            open_keys.append(None)
        else:
            open_keys.pop()
    return found


def _kind(value: object) -> str:
    return {list: "a list", str: "a text", bool: "true or false", type(None): "null"}.get(
        type(value), "a number"
    )
