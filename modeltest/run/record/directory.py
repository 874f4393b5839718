"""The directory of one run: its unique name and the file `run.json` that says what ran and how it ended."""

from __future__ import annotations

import os
import re
import stat
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from modeltest.api import (
    Measurement,
    PrerequisiteError,
    RunResult,
    RunStatus,
    Sample,
    SpecError,
)
from modeltest.machine.files import SCRATCH_SUFFIX, json_text, write_text
from modeltest.plain.contracts import to_plain
from modeltest.run.record.journal import FILE_NAME, JournalReader
from modeltest.run.record.lost_lines import without_lost_lines
from modeltest.run.record.self_checks import Recorded
from modeltest.run.record.versioned_file import read_versioned

RUN_FILE = "run.json"
LOG_FILE = "log.txt"
SCHEMA_VERSION = 1

PARTIAL_FOLDER = "partial"
"""Where the reports of a run lie that has not come to its end."""

ELSEWHERE = ("samples", "measurements", "questions")
"""The fields of a result that `run.json` leaves to the journal and the dataset."""

PIPE_FILE = ".events"
NEXT_FILE = ".next"
"""The pipes between a supervisor and its workers."""

SCRATCH_PREFIX = "."
"""Files of a run directory whose names begin so are being written and mean nothing yet."""


def create_run_directory(parent: str, *, started: datetime, name: str) -> Path:
    """Create and return `<parent>/<time>_<name>`, with a number behind it if that exists already.

    Raises: PrerequisiteError when it cannot be created.
    """
    stem = f"{started:%Y%m%d-%H%M%S}_{re.sub(r'[^0-9A-Za-z._-]+', '-', name)}"
    for number in range(1, 1000):
        directory = Path(parent).expanduser().absolute() / (stem if number == 1 else f"{stem}-{number}")
        try:
            directory.mkdir(parents=True)
        except FileExistsError:
            continue
        except OSError as problem:
            raise PrerequisiteError(
                f"cannot create {directory}: {problem.strerror}; choose another place with --output DIR"
            ) from problem
        return directory
    raise PrerequisiteError(f"{parent} already holds 999 runs named {stem}")


def refuse_links(directory: Path) -> None:
    """Refuse to write into a directory that holds anything but files and folders of its own.

    ModelTest makes no links in it. In one that comes from somebody else, a link named as a log or a journal
    would have ModelTest write to wherever it points, and a pipe would hold it up for ever.

    Raises: SpecError naming it.
    """
    for folder, folders, files in os.walk(directory):  # follows no link
        for name in (*folders, *files):
            path = Path(folder) / name
            mode = path.lstat().st_mode
            is_own_pipe = stat.S_ISFIFO(mode) and name in (PIPE_FILE, NEXT_FILE)
            if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode) or is_own_pipe):
                kind = "a link" if stat.S_ISLNK(mode) else "no file"
                raise SpecError(
                    f"{path} is {kind}, and ModelTest makes none in its directories: nothing is written; "
                    "copy the directory with what its links point to, or remove it"
                )


def remove_scratch(directory: Path) -> None:
    """Remove what a killed process was writing, and its pipes; the caller makes sure that no other is there.

    Folders below are included, but for those of a suite's runs, which may be another's.
    """
    for folder, folders, files in os.walk(directory):
        folders[:] = [name for name in folders if not (Path(folder) / name / RUN_FILE).exists()]
        for name in files:
            is_scratch = name.startswith(SCRATCH_PREFIX) and name.endswith(SCRATCH_SUFFIX)
            if is_scratch or name in (PIPE_FILE, NEXT_FILE):
                (Path(folder) / name).unlink(missing_ok=True)


def write_result(directory: Path, result: RunResult) -> None:
    """Write `run.json` atomically.

    Raises: PrerequisiteError when it cannot be written.
    """
    write_text(directory / RUN_FILE, result_text(result))


def result_text(result: RunResult) -> str:
    """Return `run.json`: all of `result` but what is journalled or read from the dataset."""
    plain = to_plain(replace(result, samples=(), measurements=(), questions=()))
    for name in ELSEWHERE:
        del plain[name]
    return json_text({"schema": SCHEMA_VERSION, **plain})


def read_result(directory: Path) -> RunResult:
    """Return the result in `directory`; samples and measurements are read from the journal when iterated.

    The journal is checked as it is read, and a line that is not as it was written raises ModelTestError. A
    complete run whose journal has lost lines since is returned as a partial one.

    Raises: SpecError when there is no run in `directory`; ModelTestError when `run.json` is damaged.
    """
    result = read_versioned(
        directory / RUN_FILE, RunResult, what="a run", key="schema", version=SCHEMA_VERSION
    )
    journal = directory / FILE_NAME
    if result.status == RunStatus.COMPLETE:
        result = without_lost_lines(result, journal, status=RunStatus.PARTIAL)
    recorded = recorded_of(result)
    return replace(
        result,
        samples=JournalReader(journal, Sample, recorded),
        measurements=JournalReader(journal, Measurement, recorded),
    )


def recorded_of(result: RunResult) -> Recorded:
    """Return what a journal is held against."""
    return Recorded(result.journal, result.spec, result.task_files)
