"""Records to requests to completions to scores: the loop of every accuracy run."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain, islice

from modeltest.api import (
    AccuracyTask,
    Completion,
    Engine,
    EngineError,
    ModelTestError,
    Record,
    Request,
    RunSpec,
    Sample,
    SpecError,
    TaskData,
)
from modeltest.run.planning.lora import adapters_of, asked_requests
from modeltest.run.record.identity import request_digest

OnBatch = Callable[[int, Sequence[str]], None]
"""Called before each batch: with how many questions are in flight, or the batch that is asked by itself."""


@dataclass(frozen=True, slots=True)
class Begun:
    """What the journal says of the questions of a resumed run; empty for a new one."""

    answered: Collection[str] = frozenset()
    """The questions in the journal, which are not asked again."""

    given_up: Mapping[str, str] = field(default_factory=dict)
    """The questions that are failed without being asked, and why."""

    in_flight: int = 0
    """So many of the others, the first ones, are asked one batch at a time: one of them ended a worker."""


def run_accuracy(
    task: AccuracyTask,
    engine: Engine,
    data: TaskData,
    spec: RunSpec,
    *,
    begun: Begun | None = None,
    on_batch: OnBatch | None = None,
) -> Iterator[Sequence[Sample]]:
    """Yield the samples of each batch as the engine finishes it; every record gives exactly one sample.

    A request the engine never answers gives a failed sample at the end.

    Raises: EngineError when the engine answers what was not asked.
    """
    questions = _Questions(task, data, spec, begun=begun or Begun(), on_batch=on_batch or _ignore)
    requests = questions.submitted()
    batch_size = spec.batch_sizes[0][0]
    for alone in _batches(islice(requests, questions.begun.in_flight), batch_size):
        questions.on_batch(questions.taken, [request.id for request in alone])
        for batch in engine.complete(alone, batch_size=batch_size):
            yield [questions.sample(completion, engine.name) for completion in batch]
    for batch in engine.complete(requests, batch_size=batch_size):
        yield [questions.sample(completion, engine.name) for completion in batch]
    if lost := questions.unanswered():
        yield [questions.sample(completion, engine.name) for completion in lost]


def refuse_other_prompts(
    task: AccuracyTask, data: TaskData, spec: RunSpec, answered: Mapping[str, str]
) -> None:
    """Compare the prompts behind `answered`, question -> digest, with those the task would ask now.

    Raises: SpecError when one is another, or is not asked at all.
    """
    unmet = dict(answered)
    for request in asked_requests(task, data, spec, adapters_of(spec)):
        digest = unmet.pop(request.id, None)
        if digest is not None and digest != request_digest(request):
            raise SpecError(
                f"the journal cannot be continued: question {request.id!r} was asked with another prompt"
            )
    if unmet:
        raise SpecError(
            f"the journal cannot be continued: it answers {next(iter(unmet))!r}, which this run does not ask"
        )


class _Questions:
    """The questions of a run on their way to the engine and back."""

    def __init__(
        self, task: AccuracyTask, data: TaskData, spec: RunSpec, *, begun: Begun, on_batch: OnBatch
    ) -> None:
        self.begun = begun
        self.on_batch = on_batch
        self.taken = 0
        self._task = task
        self._data = data
        self._spec = spec
        self._pending: dict[str, tuple[Request, Record]] = {}

    def submitted(self) -> Iterator[Request]:
        """Yield what is neither answered nor given up, and say how much is taken before each batch of it."""
        passing = _Passing(self._data.records)
        batch_size = self._spec.batch_sizes[0][0]
        data = replace(self._data, records=passing)
        for request in asked_requests(self._task, data, self._spec, adapters_of(self._spec)):
            record = passing.take(request.id)
            if request.id in self.begun.answered:
                continue
            self._pending[request.id] = request, record
            if request.id in self.begun.given_up:
                continue
            if self.taken % batch_size == 0:
                self.on_batch(self.taken + batch_size, ())
            self.taken += 1
            yield request

    def sample(self, completion: Completion, engine_name: str) -> Sample:
        """Return the scored answer to a question that waits for one.

        Raises: EngineError when none does.
        """
        request, record = self._pending.pop(completion.request_id, (None, None))
        if request is None or record is None:
            raise EngineError(
                f"engine {engine_name!r} answered {completion.request_id!r}, which was not asked "
                "or was answered already"
            )
        completion = checked(completion)
        score = self._task.score(record, self._data, completion, self._spec)
        # Times belong to measurements; in a journal of questions they would only be noise.
        return Sample(score, replace(completion, token_times_ns=()), request_digest(request))

    def unanswered(self) -> list[Completion]:
        """Return a failed completion for every question that still waits."""
        why = self.begun.given_up
        return [Completion(name, error=why.get(name, "the engine gave no answer")) for name in self._pending]


def _ignore(taken: int, alone: Sequence[str]) -> None:
    """Do nothing: the default where no callback is given."""


def _batches(requests: Iterator[Request], size: int) -> Iterator[list[Request]]:
    while batch := list(islice(requests, size)):
        yield batch


def checked(completion: Completion) -> Completion:
    """Return `completion`, or a failed one where a model with broken weights says NaN or infinity."""
    told = [*completion.choice_logprobs, *chain.from_iterable(completion.token_logprobs)]
    if all(map(math.isfinite, told)):
        return completion
    said = ", ".join(str(value) for value in told if not math.isfinite(value))
    return Completion(completion.request_id, error=f"log-probabilities that are not finite: {said}")


class _Passing(Collection[Record]):
    """Records being turned into requests: each is kept from its reading until its request is made."""

    def __init__(self, records: Collection[Record]) -> None:
        self._records = records
        self._read: dict[str, Record] = {}

    def __iter__(self) -> Iterator[Record]:
        for record in self._records:
            self._read[record.id] = record
            yield record

    def __len__(self) -> int:
        return len(self._records)

    def __contains__(self, record: object) -> bool:
        return record in self._records

    def take(self, record_id: str) -> Record:
        try:
            return self._read.pop(record_id)
        except KeyError:
            raise ModelTestError(
                f"a task asked {record_id!r}, which is no record's id or was asked already"
            ) from None
