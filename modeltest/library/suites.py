"""Many runs from one file, from Python."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from modeltest.api import ModelTestError, RunSpec, SpecError, SuiteResult, SuiteRun, SuiteStatus
from modeltest.library.carrying_out import How
from modeltest.library.interrupts import RunInterrupted
from modeltest.library.runs import Run, load_run
from modeltest.options.asked import (
    COMMANDS,
    asked_by_words,
    kind_of,
    limits_by_keywords,
    long_names,
    options_of,
)
from modeltest.options.runs import OUTPUT_DIR, OUTPUT_VARIABLE
from modeltest.run.planning.trust import named_interpreter, refuse_unsaid_trust
from modeltest.run.record.directory import RUN_FILE
from modeltest.run.supervisor.progress import told
from modeltest.suite.execution import SuiteOutcome, begin_suite, specs_left
from modeltest.suite.execution import run_suite as carry_out
from modeltest.suite.located_yaml import read_yaml
from modeltest.suite.matrix import Asked, Catalogue, expand
from modeltest.suite.paths import checkpoints, filled
from modeltest.suite.planning import plan_runs
from modeltest.task_files.named import allow_code

if TYPE_CHECKING:
    from typing import Unpack

    from modeltest.library.keywords import LimitKeywords

OF_THE_SUITE = frozenset({"output"})
"""Options that are the suite's own, not those of its runs."""


@dataclass(frozen=True, slots=True)
class PlannedSuite:
    """What a file asks for, in the order in which it is carried out."""

    name: str
    file: str
    runs: tuple[SuiteRun, ...]
    notes: tuple[str, ...]
    """What of the file fits none of the runs."""


@dataclass(frozen=True, eq=False, repr=False)
class Suite:
    """A suite that came to its end."""

    directory: Path
    """Where its files are, and the directories of its runs."""

    result: SuiteResult
    """What `suite.json` says: each run with its verdict, headline or error."""

    def __repr__(self) -> str:
        return f"Suite({str(self.directory)!r}, {self.status.value}, {len(self.result.runs)} runs)"

    @property
    def status(self) -> SuiteStatus:
        """How far it has come."""
        return self.result.status

    @property
    def exit_status(self) -> int | None:
        """The highest exit status of its runs: 0 when all are valid."""
        return self.result.exit_status

    def load_runs(self) -> dict[str, Run]:
        """Return the runs that began, by their names in `result.runs`.

        Raises: ModelTestError when a `run.json` is damaged.
        """
        begun = [run.name for run in self.result.runs if (self.directory / run.name / RUN_FILE).exists()]
        return {name: load_run(self.directory / name) for name in begun}


def run_suite(
    file: str | os.PathLike[str] | None = None,
    *,
    resume: str | os.PathLike[str] | None = None,
    output: str | os.PathLike[str] | None = None,
    trust_remote_code: bool = False,
    progress: bool = False,
    verbose: bool = False,
    **limits: Unpack[LimitKeywords],
) -> Suite:
    """Carry out the runs of a suite file, or with `resume` those left of a suite that was stopped.

    `docs/suites.md` has the files. Runs that share a model load it once; a run that fails is in the result
    with its error, and the others go on. Keywords are the options of `modeltest suite`.

    Raises: SpecError for a file that is wrong; PrerequisiteError when another process is at work on the
    suite; RunInterrupted when it was stopped, with the directory to go on with.
    """
    if (file is None) == (resume is None):
        raise SpecError("give a suite file, or resume=DIR to go on with a suite that was stopped; not both")
    how = How(told(is_told=progress), limits_by_keywords(limits), verbose=verbose)
    if resume is not None:
        outcome = go_on(Path(resume), is_trusted=trust_remote_code, how=how)
    else:
        assert file is not None
        place = output or os.environ.get(OUTPUT_VARIABLE) or OUTPUT_DIR
        outcome = begin(plan_suite(Path(file)), command=None, output_dir=os.fspath(place), how=how)
    if outcome.interrupt is not None:
        raise RunInterrupted(outcome.directory) from outcome.interrupt
    return Suite(outcome.directory, outcome.suite)


def plan_suite(file: Path) -> PlannedSuite:
    """Return what `file` asks for, each run planned as far as that is possible without its model.

    Raises: SpecError naming the line of what is wrong.
    """
    matrix = expand(
        read_yaml(file),
        catalogue(),
        resolve=checkpoints,
        fill=lambda text: filled(text, os.environ),
        place=lambda path: str(file.absolute().parent / Path(path).expanduser()),
    )
    if not matrix.runs:
        raise SpecError(f"{file} asks for no run: it has no task, or every one is excluded")
    runs = plan_runs(matrix.runs, _asked)
    return PlannedSuite(matrix.name or file.stem, str(file), runs, matrix.notes)


def begin(planned: PlannedSuite, *, command: str | None, output_dir: str, how: How) -> SuiteOutcome:
    """Make the directory of a suite and carry it out.

    Raises: PrerequisiteError when that is not possible.
    """
    for note in planned.notes:
        how.progress.line(f"note: {note}")
    directory, _ = begin_suite(
        planned.runs, name=planned.name, file=planned.file, command=command, output_dir=output_dir
    )
    return _carry_out(directory, how)


def go_on(directory: Path, *, is_trusted: bool, how: How) -> SuiteOutcome:
    """Go on with the suite in `directory`: what is complete stays, what failed is tried again.

    Raises: SpecError when there is none, or when its code is not trusted again.
    """
    if not is_trusted:
        named = named_interpreter(os.environ)
        refuse_unsaid_trust(directory, specs_left(directory), interpreter=named)
    for spec in specs_left(directory):
        allow_code(spec)
    return _carry_out(directory, how)


def catalogue() -> Catalogue:
    """Return the options a suite may give its runs, by command."""
    return {
        name: {
            word: kind_of(option)
            for option in options_of(command)
            for word in long_names(option)
            if word not in OF_THE_SUITE
        }
        for name, command in COMMANDS.items()
    }


def _carry_out(directory: Path, how: How) -> SuiteOutcome:
    how.progress.line(f"suite directory {directory}")
    return carry_out(directory, progress=how.progress, limits=how.limits, verbose=how.verbose)


def _asked(asked: Asked) -> RunSpec:
    """Return what a command line of the suite asks for.

    Raises: ModelTestError that names its place in the file.
    """
    name, *words = asked.words
    try:
        return asked_by_words(name, words)
    except ModelTestError as problem:
        raise type(problem)(f"{asked.where_of(str(problem))}: {name}: {problem}") from None
