"""What a run of `locate` is asked, and the files it leaves; without torch."""

from __future__ import annotations

from pathlib import Path

from modeltest.api import LocateOptions, ModelTestError, RunSpec, SpecError
from modeltest.locate.answer import Located
from modeltest.plain.contracts import from_plain
from modeltest.plain.json_text import parse_published_json

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

    Raises: ModelTestError when its file is not there, or is damaged.
    """
    path = directory / RESULT_FILE
    try:
        located: Located = from_plain(Located, parse_published_json(path.read_bytes()))
    except FileNotFoundError:
        raise ModelTestError(f"{path} is not there: the run did not come to its end") from None
    except (ValueError, KeyError, TypeError, AttributeError) as problem:
        raise ModelTestError(f"{path} does not hold what locate writes: {problem!r}") from problem
    return located
