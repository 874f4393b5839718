"""The runs on both sides of a comparison, one or several: their warnings and differences, each once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from modeltest.api import Finding, FindingCode, RunDifference, RunResult
from modeltest.compare.given_outputs import Line
from modeltest.findings import as_findings

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


def warnings_of(reference: Sequence[RunToCompare], candidate: Sequence[RunToCompare]) -> Iterator[Finding]:
    """Yield what the runs warn of, with the side where it is one side's; of many the first."""
    sides = {"reference": _warnings(reference), "candidate": _warnings(candidate)}
    both = [warning for warning in sides["reference"] if warning in sides["candidate"]]
    yield from both
    for side, warnings in sides.items():
        own = [warning for warning in warnings if warning not in both]
        told = own[:SHOWN_WARNINGS]
        if len(own) > SHOWN_WARNINGS:
            told.append(Finding(FindingCode.MORE_WARNINGS, {"count": len(own) - SHOWN_WARNINGS}))
        yield from (Finding(FindingCode.ON_A_SIDE, {"side": side, "about": each}) for each in told)


def _warnings(runs: Sequence[RunToCompare]) -> list[Finding]:
    found: list[Finding] = []
    for run in runs:
        for warning in as_findings(run.result.warnings, run.result.warning_codes):
            if warning not in found:
                found.append(warning)
    return found


def _listed(values: Sequence[str]) -> str:
    more = ["..."] if len(values) > _SHOWN_VALUES else []
    return ", ".join([*values[:_SHOWN_VALUES], *more])
