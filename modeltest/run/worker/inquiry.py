"""Windows of questions to samples: the loop of every run whose task decides by the answers what to ask."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import chain, islice

from modeltest.api import Completion, Engine, EngineError, Inquiry, Request, Sample, SpecError, TokenPrompt
from modeltest.run.record.identity import request_digest
from modeltest.run.worker.accuracy import Begun, checked

OnBatch = Callable[[int, Sequence[str]], None]
"""Called before each batch: with how many questions the engine has taken since the worker began, and with the
batch that is asked by itself."""


def run_inquiry(
    inquiry: Inquiry,
    engine: Engine,
    *,
    batch_size: int,
    answered: Mapping[str, Sample],
    begun: Begun,
    on_batch: OnBatch,
) -> Iterator[Sequence[Sample]]:
    """Yield the samples of each batch as the engine finishes it; those `answered` are not asked again.

    A request the engine never answers gives a failed sample at the end of its window.

    Raises: EngineError when the engine answers what was not asked; SpecError when the journal answers
    something else than this run asks.
    """
    asking = _Asking(inquiry, engine, batch_size, begun, on_batch)
    windows = inquiry.windows()
    window = next(windows, None)
    unmet = dict(answered)
    while window is not None:
        found: dict[str, Sample] = {}
        for request in window:
            if (sample := unmet.pop(request.id, None)) is not None:
                _refuse_other_prompt(request, sample)
                found[request.id] = sample
        missing = [request for request in window if request.id not in found]
        for samples in asking.ask(missing):
            yield samples
            found.update((sample.score.request_id, sample) for sample in samples)
        window = _window_after([found[request.id] for request in window], windows)
    if unmet:
        raise SpecError(
            f"the journal cannot be continued: it answers {next(iter(unmet))!r}, which this run does not ask"
        )


class _Asking:
    """Requests on their way to the engine and back, window by window."""

    def __init__(
        self, inquiry: Inquiry, engine: Engine, batch_size: int, begun: Begun, on_batch: OnBatch
    ) -> None:
        self._inquiry = inquiry
        self._engine = engine
        self._batch_size = batch_size
        self._begun = begun
        self._on_batch = on_batch
        self._suspects = begun.in_flight
        self._taken = 0

    def ask(self, requests: Sequence[Request]) -> Iterator[list[Sample]]:
        """Yield the samples of `requests`, each once."""
        pending = {request.id: request for request in requests}
        waiting = iter([request for request in requests if request.id not in self._begun.given_up])
        # What was in flight when a worker was lost is asked a batch at a time: one of it may have ended it.
        while self._suspects > 0 and (alone := list(islice(waiting, self._size_of_suspects()))):
            self._suspects -= len(alone)
            self._taken += len(alone)
            self._on_batch(self._taken, [request.id for request in alone])
            yield from self._complete(alone, pending)
        if (first := next(waiting, None)) is not None:
            yield from self._complete(self._submitted(chain([first], waiting)), pending)
        if pending:
            why = self._begun.given_up
            yield [
                self._sample(request, Completion(name, error=why.get(name, "the engine gave no answer")))
                for name, request in pending.items()
            ]

    def _size_of_suspects(self) -> int:
        return min(self._batch_size, self._suspects)

    def _submitted(self, requests: Iterator[Request]) -> Iterator[Request]:
        """Yield `requests`, and say how much the engine has taken before each batch of it."""
        while batch := list(islice(requests, self._batch_size)):
            self._on_batch(self._taken + len(batch), ())
            self._taken += len(batch)
            yield from batch

    def _complete(self, requests: Iterable[Request], pending: dict[str, Request]) -> Iterator[list[Sample]]:
        for batch in self._engine.complete(requests, batch_size=self._batch_size):
            samples = []
            for completion in batch:
                request = pending.pop(completion.request_id, None)
                if request is None:
                    raise EngineError(
                        f"engine {self._engine.name!r} answered {completion.request_id!r}, which was not "
                        "asked or was answered already"
                    )
                samples.append(self._sample(request, checked(completion)))
            yield samples

    def _sample(self, request: Request, completion: Completion) -> Sample:
        kept = replace(completion, token_times_ns=())
        if isinstance(request.prompt, TokenPrompt):
            # The pack has the prompt, which its digest proves; in the journal it would only be long.
            kept = replace(kept, prompt_tokens=(), choice_tokens=())
        return Sample(self._inquiry.score(completion), kept, request_digest(request))


def _refuse_other_prompt(request: Request, sample: Sample) -> None:
    if sample.prompt_sha256 != request_digest(request):
        raise SpecError(
            f"the journal cannot be continued: question {request.id!r} was asked with another prompt"
        )


def _window_after(
    samples: Sequence[Sample], windows: Generator[Sequence[Request], Sequence[Sample], None]
) -> Sequence[Request] | None:
    try:
        return windows.send(samples)
    except StopIteration:
        return None
