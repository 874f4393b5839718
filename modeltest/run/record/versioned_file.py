"""Reading a file that says which version of its format it is in: `run.json`, `suite.json`."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeVar

from modeltest.api import ModelTestError, SpecError
from modeltest.plain.contracts import from_plain
from modeltest.plain.json_text import parse_json

T = TypeVar("T")


def read_versioned(path: Path, kind: type[T], *, what: str, key: str, version: int) -> T:
    """Return the `kind` that is in `path`; `what` is what the folder around it is then, as `a run`.

    Raises: SpecError where there is no such file, or the version under its `key` is another; ModelTestError
    when it is damaged.
    """
    try:
        plain: Any = parse_json(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        raise SpecError(f"{path.parent} is not {what}: it has no {path.name}") from None
    except (OSError, ValueError) as problem:
        raise ModelTestError(f"{path} cannot be read: {problem}") from problem
    found = plain.pop(key, None) if isinstance(plain, dict) else None
    if found != version:
        word = key.removesuffix("_version")
        raise SpecError(f"{path} has {word} {found}; this ModelTest reads {word} {version}")
    try:
        return from_plain(kind, plain)
    except ValueError as problem:
        raise ModelTestError(f"{path} is not {what}: {problem}") from problem
