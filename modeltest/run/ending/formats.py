"""Reports by name: those a user asks for of a run that has ended, whether or not they are written unasked."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from modeltest import registry
from modeltest.api import OnRequest, Report, RunResult, SpecError
from modeltest.grammar.modes import did_you_mean
from modeltest.run.ending.finish import judged, report_folder


@dataclass(frozen=True, slots=True)
class Written:
    """The files that were written, and the result they were written from."""

    paths: tuple[Path, ...]
    result: RunResult


def reports_named(names: Sequence[str]) -> tuple[Report, ...]:
    """Return the reports of these names, each once.

    Raises: SpecError for a name that no installed report has.
    """
    known = registry.report_names()
    for name in names:
        if name not in known:
            raise SpecError(
                f"unknown report {name!r:.80}; available: {', '.join(known)}{did_you_mean(name, known)}"
            )
    return tuple(registry.load_report(name) for name in dict.fromkeys(names))


def write_formats(result: RunResult, directory: Path, names: Sequence[str]) -> Written:
    """Write the reports `names` of the run in `directory`, from its journal; none if one of them is refused.

    Raises: SpecError for an unknown name and for a report that the run cannot give; PrerequisiteError when a
    file cannot be written.
    """
    reports = reports_named(names)
    result = judged(result, directory)
    for report in reports:
        if reason := refusal(report, result):
            raise SpecError(f"report {report.name!r} cannot be written of {directory}: {reason}")
    folder = report_folder(result, directory)
    paths: list[Path] = []
    for report in reports:
        with registry.guard(f"report {report.name!r} cannot be written of {directory}"):
            paths.extend(report.write(result, folder))
    return Written(tuple(paths), result)


def refusal(report: Report, result: RunResult) -> str | None:
    """Return why `result` cannot give `report`; `None` where it can."""
    with registry.guard(f"report {report.name!r} fails at this run"):
        if isinstance(report, OnRequest):
            return report.refusal(result)
        if report.accepts(result):
            return None
    able = ", ".join(each.name for each in registry.reports() if _accepts(each, result))
    return f"it has nothing to say of a run of {result.spec.task}; this run gives {able or 'no report'}"


def _accepts(report: Report, result: RunResult) -> bool:
    with suppress(registry.PlugInError), registry.guard(report.name):
        return report.accepts(result)
    return False
