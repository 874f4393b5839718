"""What went wrong in a suite, a line for each run that gave no numbers or none that may be used."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from modeltest.api import Finding, FindingCode, RunResult, SuiteResult, Verdict
from modeltest.findings import as_findings

_NAMED_REASONS = 3


def problems(suite: SuiteResult, results: Mapping[str, RunResult]) -> list[Finding]:
    """Return the error of each run that has one, why others are INVALID, and what others decided."""
    found = []
    for run in suite.runs:
        if run.error:
            found.append(Finding(FindingCode.RUN_OF_SUITE_ENDED, {"run": run.name, "error": run.error}))
        elif run.verdict is Verdict.INVALID:
            reasons = tuple(_reasons(results[run.name])) if run.name in results else ()
            more = len(reasons) - _NAMED_REASONS
            found.append(
                Finding(
                    FindingCode.RUN_OF_SUITE_INVALID,
                    {
                        "run": run.name,
                        "reasons": reasons[:_NAMED_REASONS],
                        "more": more if more > 0 else None,
                    },
                )
            )
        elif run.exit_status:
            about = Finding(FindingCode.TEXT, {"text": run.headline})
            found.append(Finding(FindingCode.RUN_OF_SUITE_DECIDED, {"run": run.name, "about": about}))
    return found


def _reasons(result: RunResult) -> Sequence[Finding]:
    return as_findings(result.reasons, result.reason_codes)
