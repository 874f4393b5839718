"""The runs on both sides of a comparison, one or several: their warnings and differences, each once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from modeltest.api import RunDifference, RunResult
from modeltest.compare.given_outputs import Line

SHOWN_WARNINGS = 3
"""Of a side; its runs have all of them."""

_SHOWN_VALUES = 4


@dataclass(frozen=True, slots=True)
class RunToCompare:
    """One run as it was read; `generations` are the lines of `generations.jsonl`, where there are any."""

    directory: str
    result: RunResult
    generations: Mapping[int, Line] | None = None


def together(differences: Iterable[RunDifference]) -> tuple[RunDifference, ...]:
    """Return every difference once; a fact that may differ, and does in several sessions, in one line."""
    found: dict[tuple[str, str, str], RunDifference] = {}
    values: dict[tuple[str, str, str], dict[str, None]] = {}
    for each in dict.fromkeys(differences):
        key = (each.fact, each.reference, each.candidate if each.category else "")
        found.setdefault(key, each)
        values.setdefault(key, {})[each.candidate] = None
    return tuple(replace(each, candidate=_listed(list(values[key]))) for key, each in found.items())


def warnings_of(reference: Sequence[RunToCompare], candidate: Sequence[RunToCompare]) -> Iterator[str]:
    """Yield what the runs warn of, with the side where it is one side's; of many the first."""
    sides = {"reference": _warnings(reference), "candidate": _warnings(candidate)}
    both = [warning for warning in sides["reference"] if warning in sides["candidate"]]
    yield from both
    for side, warnings in sides.items():
        own = [warning for warning in warnings if warning not in both]
        yield from (f"{side}: {warning}" for warning in own[:SHOWN_WARNINGS])
        if len(own) > SHOWN_WARNINGS:
            yield f"{side}: {len(own) - SHOWN_WARNINGS} more warnings, in the summary.md of its runs"


def _warnings(runs: Sequence[RunToCompare]) -> list[str]:
    return list(dict.fromkeys(warning for run in runs for warning in run.result.warnings))


def _listed(values: Sequence[str]) -> str:
    more = ["..."] if len(values) > _SHOWN_VALUES else []
    return ", ".join([*values[:_SHOWN_VALUES], *more])
