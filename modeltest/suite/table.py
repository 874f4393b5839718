"""A suite as one table on standard output."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from modeltest.api import SuiteResult, SuiteRun
from modeltest.suite.planning import planned_loads
from modeltest.tables import print_rows, result_console


def print_plan(runs: Sequence[SuiteRun], notes: Sequence[str]) -> None:
    """Print what would be run, in that order, and how often a model would be loaded."""
    rows = [
        (run.name, run.adapter or "-", "-" if run.error else str(run.shares), run.error or _words(run))
        for run in runs
    ]
    print_rows(("run", "engine", "load", "command"), rows)
    refused = sum(run.error is not None for run in runs)
    told = f", {refused} of them cannot be run" if refused else ""
    result_console().print(f"{_count(len(runs), 'run')}{told}; {_count(planned_loads(runs), 'model load')}")
    for note in notes:
        result_console().print(note, soft_wrap=True)


def print_suite(suite: SuiteResult, files: Sequence[Path]) -> None:
    """Print the runs and what came of them, and the paths of the suite's files."""
    rows = [
        (
            run.name,
            run.headline.replace("; ", "\n") or run.error or "",
            run.verdict.value if run.verdict else run.status.value,
            "-" if run.exit_status is None else str(run.exit_status),
            str(run.loads),
        )
        for run in suite.runs
    ]
    print_rows(("run", "result", "verdict", "status", "loads"), rows)
    console = result_console()
    console.print(
        f"{suite.status.value}: {_count(len(suite.runs), 'run')}, {_count(suite.loads, 'model load')}, "
        f"exit status {suite.exit_status}"
    )
    for path in sorted(files):
        console.print(str(path), soft_wrap=True)


def _words(run: SuiteRun) -> str:
    return " ".join(run.command[1:])


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"
