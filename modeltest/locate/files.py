"""What a run of `locate` is asked, and the files it leaves; without torch."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

from modeltest.api import LocateOptions, ModelTestError, RunSpec, SpecError
from modeltest.locate.answer import Located
from modeltest.plain.contracts import from_plain
from modeltest.plain.json_text import parse_published_json

T = TypeVar("T")

RESULT_FILE = "locate.json"
TABLE_FILE = "locate.md"


def options_of(spec: RunSpec) -> LocateOptions:
    """Return the part of `spec` that is for `locate`.

    Raises: SpecError when it has none.
    """
    if spec.options.locate is None:
        raise SpecError("no reference is named; `modeltest locate --reference DIR` names it")
    return spec.options.locate


def read_located(directory: Path) -> Located:
    """Return what the run in `directory` came to.

    Raises: as `read_left`.
    """
    return read_left(directory / RESULT_FILE, Located, "locate")


def read_left(path: Path, kind: type[T], task: str) -> T:
    """Return what a run of `task` left in `path`.

    Raises: ModelTestError when its file is not there, or is damaged.
    """
    try:
        found: T = from_plain(kind, parse_published_json(path.read_bytes()))
    except FileNotFoundError:
        raise ModelTestError(f"{path} is not there: the run did not come to its end") from None
    except (ValueError, KeyError, TypeError, AttributeError) as problem:
        raise ModelTestError(f"{path} does not hold what {task} writes: {problem!r}") from problem
    return found
