"""The keys of a task file in TOML: which there are, what each may be, and on which line it stands."""

from __future__ import annotations

import re
import string
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any, TypeVar

from modeltest.api import OPTION_LETTERS, PREDECESSOR_MODES, SpecError
from modeltest.plain.toml_file import parse_toml

Member = TypeVar("Member", bound=Enum)

SUFFIXES = (".csv", ".jsonl", ".jsonl.gz")
"""Of files with rows."""

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,39}")
_MOST_TOKENS = 100_000
_TAKEN_NAMES = frozenset(name for mode in PREDECESSOR_MODES for name in (mode.word, mode.task))


@dataclass(frozen=True, slots=True)
class Keys:
    """What a task file says, by key, and where."""

    path: Path
    values: Mapping[str, Any]
    lines: Mapping[str, int]

    def error(self, key: str, reason: str) -> SpecError:
        """Return the error that says what is wrong with `key`, at its place."""
        return SpecError(f"{self.place(key)}: {key} {reason}")

    def place(self, key: str) -> str:
        """Return the file, and the line of `key` if it is there."""
        return f"{self.path}, line {self.lines[key]}" if key in self.lines else str(self.path)

    def read(self, key: str, reader: Callable[[Any], Any], default: Any = None) -> Any:
        """Return the value of `key` as `reader` makes it, or `default` where it is not there.

        Raises: SpecError with its place for a value that is none; `reader` raises ValueError for one.
        """
        if key not in self.values:
            return default
        try:
            return reader(self.values[key])
        except ValueError as problem:
            raise self.error(key, f"is {self.values[key]!r:.80}; {problem}") from None


def read_keys(path: Path) -> Keys:
    """Return what the task file says.

    Raises: SpecError when it cannot be read, or is not TOML.
    """
    try:
        text = path.read_text(encoding="utf-8")
        values = parse_toml(text)
    except OSError as problem:
        raise SpecError(f"task file {path} cannot be read: {problem.strerror}") from problem
    except ValueError as problem:
        raise SpecError(f"{path}: not a task file in TOML: {problem}") from problem
    return Keys(path, values, _lines_of(text, values))


def _lines_of(text: str, values: Mapping[str, Any]) -> dict[str, int]:
    """Return on which line each key stands: it begins one, and all lines before it are TOML by themselves."""
    lines = text.splitlines()
    found: dict[str, int] = {}
    for number, line in enumerate(lines):
        match = re.match(r"""\s*\[*\s*["']?(?P<key>[\w-]+)["']?\s*[.=\]]""", line)
        key = match["key"] if match else ""
        if key in values and key not in found and _is_toml("\n".join(lines[:number])):
            found[key] = number + 1
    return found


def _is_toml(text: str) -> bool:
    try:
        parse_toml(text)
    except ValueError:
        return False
    return True


def text(value: Any) -> str:
    """Return a text that is not empty.

    Raises: ValueError, as all that follow.
    """
    if not isinstance(value, str) or not value.strip():
        raise ValueError("expected a text")
    return value


def texts(value: Any) -> tuple[str, ...]:
    """Return a list of texts."""
    if not isinstance(value, list) or not value or not all(isinstance(each, str) and each for each in value):
        raise ValueError("expected a list of texts")
    if len(set(value)) != len(value):
        raise ValueError("one of them stands there twice")
    return tuple(value)


def columns(value: Any) -> tuple[str, ...] | str:
    """Return the column that holds a list of options, or a column for each of them."""
    if isinstance(value, str):
        return text(value)
    found = texts(value)
    if not 2 <= len(found) <= len(OPTION_LETTERS):
        raise ValueError(f"expected two to {len(OPTION_LETTERS)} columns, or one that holds a list")
    return found


def task_name(value: Any) -> str:
    """Return a name that fits into the name of a folder."""
    if not isinstance(value, str) or not _NAME.fullmatch(value):
        raise ValueError("expected a letter, and up to 39 letters, digits, '_' and '-' behind it")
    if value in _TAKEN_NAMES:
        raise ValueError("that is a task of ModelTest: choose another name")
    return value


def rows_file(value: Any) -> str:
    """Return the path of a file with rows."""
    if not text(value).endswith(SUFFIXES) or "\0" in value:
        raise ValueError(f"expected the path of a file whose name ends with {', '.join(SUFFIXES)}")
    return str(value)


def token_count(value: Any) -> int:
    """Return a number of tokens."""
    if type(value) is not int or not 1 <= value <= _MOST_TOKENS:
        raise ValueError(f"expected a whole number from 1 to {_MOST_TOKENS}")
    return value


def pattern(value: Any) -> re.Pattern[str]:
    """Return a regular expression."""
    try:
        return re.compile(text(value))
    except re.error as problem:
        raise ValueError(f"it is no regular expression: {problem}") from None


def template(value: Any) -> str:
    """Return a text in which names of columns stand in braces."""
    names_in(text(value))
    return str(value)


def names_in(template: str) -> tuple[str, ...]:
    """Return what stands in braces in `template`, each once.

    Raises: ValueError for braces that hold anything but a name.
    """
    found = []
    try:
        for _, name, form, conversion in string.Formatter().parse(template):
            if name is None:
                continue
            if not name or form or conversion or re.search(r"[.\[\]]", name) or name.isdigit():
                raise ValueError("in braces stands the name of a column alone, and {{ }} are braces")
            found.append(name)
    except ValueError as problem:
        raise ValueError(f"its braces cannot be filled in: {problem}") from None
    return tuple(dict.fromkeys(found))


def one_of(kind: type[Member]) -> Callable[[Any], Member]:
    """Return what reads a member of `kind` by its value."""

    def read(value: Any) -> Member:
        for member in kind:
            if isinstance(value, str) and value == member.value:
                return member
        raise ValueError(f"expected one of {', '.join(member.value for member in kind)}")

    return read


def several_of(kind: type[Member]) -> Callable[[Any], tuple[Member, ...]]:
    """Return what reads a list of members of `kind`, which may be empty."""
    read_one = one_of(kind)

    def read(value: Any) -> tuple[Member, ...]:
        if not isinstance(value, list):
            raise ValueError("expected a list")
        return tuple(map(read_one, value))

    return read
