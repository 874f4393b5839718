"""`suite.json`: what a suite is made of and how far it has come; enough to go on with it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from modeltest.api import RunResult, RunStatus, SpecError, SuiteResult, SuiteRun, SuiteStatus
from modeltest.machine.files import write_json
from modeltest.plain.contracts import to_plain
from modeltest.run.record.directory import RUN_FILE, read_result
from modeltest.run.record.versioned_file import read_versioned
from modeltest.tables import headline

SUITE_FILE = "suite.json"
FORMAT_VERSION = 1
_LONGEST_NAME = 255
"""Bytes of a folder's name, on every usual file system."""


def write_suite(directory: Path, suite: SuiteResult) -> None:
    """Write `suite.json` atomically.

    Raises: PrerequisiteError when it cannot be written.
    """
    write_json(directory / SUITE_FILE, {"format_version": FORMAT_VERSION, **to_plain(suite)})


def read_suite(directory: Path) -> SuiteResult:
    """Return the suite in `directory`, with what its runs have come to since it was written.

    Raises: SpecError when there is none; ModelTestError when it is damaged.
    """
    path = directory / SUITE_FILE
    suite = read_versioned(path, SuiteResult, what="a suite", key="format_version", version=FORMAT_VERSION)
    for run in suite.runs:  # each is a folder here, wherever the file comes from
        if not _is_folder_name(run.name):
            raise SpecError(f"{path} names a run {run.name!r:.80}: no name of a folder in {directory}")
    results = read_results(directory, suite)
    runs = tuple(_updated(run, results.get(run.name)) for run in suite.runs)
    return replace(suite, runs=runs)


def _is_folder_name(name: str) -> bool:
    return name not in ("", ".", "..") and not set(name) & {"/", "\0"} and len(name.encode()) <= _LONGEST_NAME


def read_results(directory: Path, suite: SuiteResult) -> Mapping[str, RunResult]:
    """Return the results of the runs that began, by name."""
    return {
        run.name: read_result(directory / run.name)
        for run in suite.runs
        if (directory / run.name / RUN_FILE).exists()
    }


def completed(run: SuiteRun, result: RunResult) -> SuiteRun:
    """Return `run` with what its result says; it came to its end."""
    return replace(
        run,
        status=SuiteStatus.COMPLETE,
        verdict=result.verdict,
        headline=headline(result),
        error=None,
        exit_status=result.exit_status,
    )


def _updated(run: SuiteRun, result: RunResult | None) -> SuiteRun:
    """Return `run` as complete if it is: whoever ran the suite may have been killed before saying so.

    One whose journal has lost lines since is complete no more.
    """
    if result is not None and result.status == RunStatus.COMPLETE:
        return completed(run, result)
    if result is not None and run.status is SuiteStatus.COMPLETE:
        return replace(
            run, status=SuiteStatus.PARTIAL, error=result.error, verdict=None, headline="", exit_status=None
        )
    return run


def files_of_suite(directory: Path) -> list[Path]:
    """Return the suite's own files, without those of its runs."""
    return sorted(path for path in directory.iterdir() if path.is_file() and not path.name.startswith("."))
