"""The questions of a run, made again from its dataset: what a report shows beside the answers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from modeltest import registry
from modeltest.api import (
    AccuracyTask,
    BringingRows,
    DatasetInfo,
    ModelTestError,
    Question,
    RunResult,
    RunSpec,
    SpecError,
)
from modeltest.data.load import load_dataset_of
from modeltest.run.record.identity import prompt_digest


def refuse_other_rows(result: RunResult) -> None:
    """Refuse to write reports of a run whose task file, or the rows beside it, have changed since.

    Raises: SpecError naming what has; DatasetError for rows that are gone.
    """
    task = registry.task_of_run(result.spec, result.task_files) if result.spec.task_file else None
    if result.dataset is None or not isinstance(task, AccuracyTask) or not isinstance(task, BringingRows):
        return
    now = load_dataset_of(
        task,
        result.spec.split,
        data_dir=None,
        limit=result.spec.limit,
        shots_needed=bool(result.spec.options.shots),
    ).info
    if now.sha256 != result.dataset.sha256:
        raise SpecError(
            f"the rows in {now.path} are not those of the run: their sha256 is {now.sha256:.12}, then it was "
            f"{result.dataset.sha256:.12}; bring them back, or start a new run"
        )


class Questions(Iterable[Question]):
    """The questions of an accuracy run, read anew at each iteration; none where its rows are gone.

    The journal has the digest of every prompt and not its text, which would make it ten times as long. So
    whether a question is the one that was asked is seen by its digest.
    """

    def __init__(self, spec: RunSpec, dataset: DatasetInfo) -> None:
        self._spec = spec
        self._dataset = dataset

    def __iter__(self) -> Iterator[Question]:
        """Yield the questions as far as they can be made."""
        with suppress(ModelTestError, OSError):  # the dataset is gone, or another, or not complete
            yield from self._questions()

    def _questions(self) -> Iterator[Question]:
        task = registry.load_task(self._spec.task)
        if not isinstance(task, AccuracyTask):
            return
        loaded = load_dataset_of(
            task,
            self._spec.split,
            data_dir=str(Path(self._dataset.path).parent),
            subjects=self._spec.subjects,
            limit=self._spec.limit,
            shots_needed=bool(self._spec.options.shots),
        )
        if loaded.info.sha256 != self._dataset.sha256:
            return  # other rows than those that were asked
        for request in task.requests(loaded.data, self._spec):
            yield Question(request, prompt_digest(request.prompt))
