"""What went wrong in a suite, a line for each run that gave no numbers or none that may be used."""

from __future__ import annotations

from collections.abc import Mapping

from modeltest.api import RunResult, SuiteResult, Verdict

_NAMED_REASONS = 3


def problems(suite: SuiteResult, results: Mapping[str, RunResult]) -> list[str]:
    """Return the error of each run that has one, and of those that are INVALID why they are."""
    lines = []
    for run in suite.runs:
        if run.error:
            lines.append(f"{run.name}: {run.error}")
        elif run.verdict is Verdict.INVALID:
            reasons = results[run.name].reasons if run.name in results else ()
            more = len(reasons) - _NAMED_REASONS
            named = "; ".join(reasons[:_NAMED_REASONS]) + (f"; and {more} more" if more > 0 else "")
            lines.append(f"{run.name}: INVALID{': ' if named else ''}{named}")
    return lines
