"""Timed batches of the engine `openai`, pinned to one core, as streams with their times."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from random import Random

from endpoint_timing.deviations import Stream

from engines.endpoint.engine import OpenAIEngine
from modeltest.api import Completion, Request, RunSpec, TokenPrompt


@dataclass(frozen=True, slots=True)
class Batch:
    """What is asked for at once: so many streams, each of its own prompt."""

    streams: int
    input_tokens: int
    output_tokens: int

    def requests(self, draws: Random) -> list[Request]:
        """Return requests whose prompts no two batches share; tokens are such as every vocabulary has."""
        return [
            Request(
                f"stream-{row}",
                TokenPrompt(tuple(draws.randrange(33, 127) for _ in range(self.input_tokens))),
                max_new_tokens=self.output_tokens,
                ignore_eos=True,
            )
            for row in range(self.streams)
        ]


@contextmanager
def engine_for(url: str, options: Mapping[str, str], *, core: int) -> Iterator[OpenAIEngine]:
    """Load the engine for the server at `url`, in this process, which keeps to `core` meanwhile."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    engine = OpenAIEngine()
    spec = RunSpec("openai", "performance", "performance", "auto", url, engine_options=dict(options))
    try:
        engine.load(spec, engine.served_model(spec))
        yield engine
    finally:
        engine.close()
        os.sched_setaffinity(0, before)


def asked(engine: OpenAIEngine, requests: Sequence[Request]) -> dict[tuple[int, ...], Stream]:
    """Return the streams of one batch by their prompts: from when each request was written to its tokens.

    Raises: RuntimeError when one has failed.
    """
    (batch,) = engine.complete(iter(requests), batch_size=len(requests))
    prompts = {request.id: request.prompt for request in requests}
    found = {}
    for completion in batch:
        prompt = prompts[completion.request_id]
        assert isinstance(prompt, TokenPrompt)
        found[prompt.ids] = _stream(completion)
    return found


def _stream(completion: Completion) -> Stream:
    if completion.error is not None:
        raise RuntimeError(f"{completion.request_id}: {completion.error}")
    return Stream(completion.sent_ns or 0, completion.token_times_ns)
