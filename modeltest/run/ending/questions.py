"""The questions of a run, made again from its dataset: what a report shows beside the answers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from modeltest import registry
from modeltest.api import AccuracyTask, DatasetInfo, ModelTestError, Question, RunSpec
from modeltest.data.load import load_dataset
from modeltest.run.record.identity import prompt_digest


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
        loaded = load_dataset(
            task.dataset,
            self._spec.split,
            data_dir=str(Path(self._dataset.path).parent),
            subjects=self._spec.subjects,
            limit=self._spec.limit,
            shots_needed=bool(self._spec.options.shots),
        )
        for request in task.requests(loaded.data, self._spec):
            yield Question(request, prompt_digest(request.prompt))
