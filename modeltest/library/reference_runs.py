"""The runs that a reference pack is made of: in folders of fixed names, so that they can be gone on with."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields, replace
from pathlib import Path

from modeltest import registry
from modeltest.api import (
    AccuracyTask,
    BringingRows,
    ModelTestError,
    PrerequisiteError,
    RunResult,
    RunSpec,
    RunStatus,
    SpecError,
    Verdict,
)
from modeltest.data.load import load_dataset_of, subjects_of
from modeltest.library.carrying_out import How
from modeltest.packs.drafting import AskedRun
from modeltest.run.planning.plan import plan
from modeltest.run.record.directory import RUN_FILE, read_result, refuse_links, remove_scratch
from modeltest.run.record.identity import request_digest
from modeltest.run.supervisor.launch import RunOutcome, launch, resume
from modeltest.run.supervisor.stop_signals import check
from modeltest.run.supervisor.workers import Workers

THREADS = "OMP_NUM_THREADS"

_DECIDED_LATER = {"output_dir", "device", "world_size"}
"""Fields that planning fills in, or that say nothing of what is asked."""


class ReferenceRuns:
    """Carries out runs below one folder; those that share a model load it once."""

    def __init__(self, folder: Path, how: How, *, command: str | None, total: int) -> None:
        self.folder = folder
        self._how = how
        self._command = command
        self._total = total
        self._number = 0

    def run(self, name: str, spec: RunSpec, workers: Workers) -> tuple[Path, RunResult]:
        """Return the complete run called `name`: begun, gone on with, or there already.

        Raises: SpecError where it asks for something else; ModelTestError when it fails or its numbers may
        not be used; KeyboardInterrupt when it was stopped.
        """
        check()  # a signal that came between two runs
        self._number += 1
        self._how.progress.line(f"[{self._number}/{self._total}] {name}")
        directory = self.folder / name
        outcome = self._outcome(directory, spec, workers)
        if outcome.interrupt is not None:
            raise outcome.interrupt
        result = read_result(directory)
        refuse_unusable(directory, result, remedy=f"remove {directory} and give the command again")
        return directory, result

    def _outcome(self, directory: Path, spec: RunSpec, workers: Workers) -> RunOutcome:
        how = self._how
        if (directory / RUN_FILE).exists():
            _refuse_other(directory, spec)
            return resume(directory, progress=how.progress, verbose=how.verbose, workers=workers)
        planned = plan(replace(spec, output_dir=str(self.folder)))
        try:
            directory.mkdir(parents=True, exist_ok=True)
        except OSError as problem:
            raise PrerequisiteError(f"cannot create {directory}: {problem.strerror}") from problem
        refuse_links(directory)
        remove_scratch(directory)
        return launch(
            planned,
            command=self._command,
            progress=how.progress,
            verbose=how.verbose,
            workers=workers,
            directory=directory,
        )


def refuse_unusable(directory: Path, result: RunResult, *, remedy: str) -> None:
    """Refuse a run that is not complete, or whose numbers may not be used.

    Raises: SpecError.
    """
    if result.status != RunStatus.COMPLETE:
        raise SpecError(
            f"{directory} is a run that has not come to its end ({result.status}); go on with it first: "
            f"modeltest run --resume {directory}"
        )
    if result.verdict is Verdict.INVALID:
        raise SpecError(f"{directory} gives no reference: {'; '.join(result.reasons)}; {remedy}")


def asked_run(directory: Path, result: RunResult) -> AskedRun:
    """Return a run of the reference with what it asked, made again from its dataset.

    Raises: SpecError for a run that is not of questions, or whose task no pack can hold; DatasetError where
    the dataset is gone.
    """
    spec = result.spec
    task = registry.load_task(spec.task)
    if not isinstance(task, AccuracyTask) or result.dataset is None:
        raise SpecError(f"{directory} is a run of {spec.task}, which asks no questions of a dataset")
    if isinstance(task, BringingRows) or spec.task_file is not None or spec.lora is not None:
        raise SpecError(
            f"{directory}: a reference pack holds questions of installed tasks alone, without adapters; the "
            "machine of a candidate has no task file"
        )
    loaded = load_dataset_of(
        task,
        spec.split,
        data_dir=str(Path(result.dataset.path).parent),
        subjects=spec.subjects,
        limit=spec.limit,
        shots_needed=bool(spec.options.shots),
    )
    if loaded.info.sha256 != result.dataset.sha256:
        raise SpecError(
            f"the rows in {loaded.info.path} are not those that {directory} asked: their sha256 is "
            f"{loaded.info.sha256:.12}, then it was {result.dataset.sha256:.12}; bring them back"
        )
    records = {record.id: record for record in loaded.data.records}
    requests = task.requests(loaded.data, spec)
    asked = {request.id: (records[request.id], request, request_digest(request)) for request in requests}
    subjects = subjects_of(task)
    held = {record.subject for record in records.values()}
    return AskedRun(str(directory), result, asked, {name: subjects[name] for name in held & subjects.keys()})


@contextmanager
def threads(count: int | None) -> Iterator[None]:
    """Have workers that are started meanwhile compute with as many threads; `None` leaves it as it is."""
    before = os.environ.get(THREADS)
    if count is not None:
        os.environ[THREADS] = str(count)
    try:
        yield
    finally:
        if before is None:
            os.environ.pop(THREADS, None)
        else:
            os.environ[THREADS] = before


def _refuse_other(directory: Path, spec: RunSpec) -> None:
    """Refuse a run that was begun for something else.

    Raises: SpecError naming what differs.
    """
    try:
        begun = read_result(directory).spec
    except ModelTestError as problem:
        raise type(problem)(f"{problem}; remove {directory} and give the command again") from None
    names = [field.name for field in fields(spec) if field.name not in _DECIDED_LATER]
    differing = [name for name in names if getattr(begun, name) != getattr(spec, name)]
    if differing:
        raise SpecError(
            f"{directory} was begun with another {', '.join(differing)}: remove it to run it anew, or give "
            "another --out"
        )
