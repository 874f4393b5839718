"""Reports by name: those a user asks for of a run that has ended, whether or not they are written unasked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from modeltest import registry
from modeltest.api import OnRequest, Report, RunResult, SpecError
from modeltest.grammar.modes import did_you_mean
from modeltest.run.finish import judged, report_folder


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
    return Written(tuple(path for report in reports for path in report.write(result, folder)), result)


def refusal(report: Report, result: RunResult) -> str | None:
    """Return why `result` cannot give `report`; `None` where it can."""
    if isinstance(report, OnRequest):
        return report.refusal(result)
    if report.accepts(result):
        return None
    able = ", ".join(each.name for each in registry.reports() if each.accepts(result))
    return f"it has nothing to say of a run of {result.spec.task}; this run gives {able or 'no report'}"
