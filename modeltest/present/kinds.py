"""The presentation of a summary, found by the type of the summary."""

from __future__ import annotations

import pkgutil
from collections.abc import Iterable, Mapping
from functools import cache
from importlib import import_module
from pathlib import Path
from types import MappingProxyType
from typing import Any

from modeltest.api import CaseSummary, RunResult, Summary, Verdict
from modeltest.present.presentation import Outcome, Presentation


def presentation_of(summary: Summary) -> Presentation[Any]:
    """Return what is shown of `summary`.

    Raises: KeyError for a type that no module of this package presents, which a test refuses.
    """
    return presentations()[type(summary)]


def outcome_of(result: RunResult) -> Outcome | None:
    """Return what the run decided, where its numbers may be used; `None` of a run that decides nothing."""
    if result.summary is None or result.verdict is not Verdict.VALID:
        return None
    return presentation_of(result.summary).outcome(result.summary)


def is_timed(summary: Summary | None) -> bool:
    """Say whether times of tokens are what the run of `summary` is about."""
    return summary is not None and presentation_of(summary).is_timed


def timed_cases(summary: Summary | None) -> Iterable[CaseSummary]:
    """Return each case at each batch size that `summary` has times of."""
    return () if summary is None else presentation_of(summary).timed_cases(summary)


@cache
def presentations() -> Mapping[type, Presentation[Any]]:
    """Return every presentation, by the type of summary."""
    found = {}
    for module in pkgutil.iter_modules([str(Path(__file__).parent)]):
        for value in vars(import_module(f"{__package__}.{module.name}")).values():
            if isinstance(value, type) and issubclass(value, Presentation) and "kind" in vars(value):
                found[value.summary] = value()
    return MappingProxyType(found)
