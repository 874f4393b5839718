"""Records to requests to completions to scores: the loop of every accuracy run."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import replace

from modeltest.api import (
    AccuracyTask,
    Completion,
    Engine,
    EngineError,
    Prompt,
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
    records = {record.id: record for record in data.records}
    pending: dict[str, Request] = {}

    def submitted() -> Iterator[Request]:
        for request in task.requests(data, spec):
            pending[request.id] = request
            yield request

    def sample(completion: Completion) -> Sample:
        request = pending.pop(completion.request_id, None)
        if request is None:
            raise EngineError(
                f"engine {engine.name!r} answered {completion.request_id!r}, which was not asked "
                "or was answered already"
            )
        score = task.score(records[request.id], data, completion, spec)
        # Times belong to measurements; in a journal of questions they would only be noise.
        return Sample(score, replace(completion, token_times_ns=()), prompt_digest(request.prompt))

    for batch in engine.complete(submitted(), batch_size=spec.batch_sizes[0][0]):
        yield [sample(completion) for completion in batch]
    if pending:
        lost = [Completion(request_id, error="the engine gave no answer") for request_id in pending]
        yield [sample(completion) for completion in lost]


def prompt_digest(prompt: Prompt) -> str:
    """Return the sha256 of a prompt: of its text, or of the JSON of its turns or token ids."""
    if isinstance(prompt, TextPrompt):
        content = prompt.text
    elif isinstance(prompt, TokenPrompt):
        content = json.dumps(list(prompt.ids))
    else:
        content = json.dumps(to_plain(prompt.turns), ensure_ascii=False)
    return hashlib.sha256(content.encode()).hexdigest()
