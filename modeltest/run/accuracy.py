"""Records to requests to completions to scores: the loop of every accuracy run."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace

from modeltest.api import (
    AccuracyTask,
    Completion,
    Engine,
    EngineError,
    ModelTestError,
    Prompt,
    Record,
    Request,
    RunSpec,
    Sample,
    TaskData,
    TextPrompt,
    TokenPrompt,
    to_plain,
)


def run_accuracy(
    task: AccuracyTask, engine: Engine, data: TaskData, spec: RunSpec
) -> Iterator[Sequence[Sample]]:
    """Yield the samples of each batch as the engine finishes it; every record gives exactly one sample.

    A request the engine never answers gives a failed sample at the end.

    Raises: EngineError when the engine answers what was not asked.
    """
    passing = _Passing(data.records)
    pending: dict[str, tuple[Request, Record]] = {}

    def submitted() -> Iterator[Request]:
        for request in task.requests(replace(data, records=passing), spec):
            pending[request.id] = request, passing.take(request.id)
            yield request

    def sample(completion: Completion) -> Sample:
        request, record = pending.pop(completion.request_id, (None, None))
        if request is None or record is None:
            raise EngineError(
                f"engine {engine.name!r} answered {completion.request_id!r}, which was not asked "
                "or was answered already"
            )
        completion = _checked(completion)
        score = task.score(record, data, completion, spec)
        # Times belong to measurements; in a journal of questions they would only be noise.
        return Sample(score, replace(completion, token_times_ns=()), prompt_digest(request.prompt))

    for batch in engine.complete(submitted(), batch_size=spec.batch_sizes[0][0]):
        yield [sample(completion) for completion in batch]
    if pending:
        lost = [Completion(request_id, error="the engine gave no answer") for request_id in pending]
        yield [sample(completion) for completion in lost]


def _checked(completion: Completion) -> Completion:
    """Return `completion`, or a failed one where a model with broken weights says NaN or infinity."""
    if all(math.isfinite(value) for value in completion.choice_logprobs):
        return completion
    said = ", ".join(str(value) for value in completion.choice_logprobs)
    return Completion(completion.request_id, error=f"log-probabilities that are not finite: {said}")


class _Passing(Collection[Record]):
    """Records on their way through a task: each is kept from its reading until its request is made."""

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


def prompt_digest(prompt: Prompt) -> str:
    """Return the sha256 of a prompt: of its text, or of the JSON of its turns or token ids."""
    if isinstance(prompt, TextPrompt):
        content = prompt.text
    elif isinstance(prompt, TokenPrompt):
        content = json.dumps(list(prompt.ids))
    else:
        content = json.dumps(to_plain(prompt.turns), ensure_ascii=False)
    return hashlib.sha256(content.encode()).hexdigest()
