"""Replicas asked as one: requests are dealt out to them, and answers come as they are ready."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from queue import Empty, SimpleQueue
from typing import Any, TypeVar

from engines.common.encoding import Encoder
from engines.common.memory import free_bytes
from engines.common.replicas import highest, shares, usage_together
from engines.common.text_tokens import TextTokens
from engines.common.tokenizer_loading import load_tokenizer
from engines.vllm.replicas.devices import refuse_missing, shared_out
from engines.vllm.replicas.process import ReplicaProcess
from engines.vllm.replicas.words import (
    Answered,
    Asked,
    Batch,
    Begin,
    Failure,
    Load,
    Peak,
    Prepared,
    Ready,
    Reply,
    Rows,
    Used,
    Word,
)
from engines.vllm.splitting import Degrees, rank_use
from modeltest.api import (
    Completion,
    DeviceError,
    EngineError,
    EngineInfo,
    EngineUsage,
    ModelInfo,
    ModelTestError,
    Parallel,
    RunSpec,
    error_by_name,
)

T = TypeVar("T")

_POLL_S = 1.0
"""How often replicas that say nothing are looked at: ranks of one that died may keep its connection open."""

_END_S = 10.0
"""How long replicas may take to end that have nothing to do."""

_INTERRUPT_S = 3.0
"""And in the middle of something."""


class Replicas:
    """Whole models in processes of their own."""

    def __init__(self, spec: RunSpec, model: ModelInfo, degrees: Degrees, *, device: str) -> None:
        """Start them, for a vLLM that is built for `device`, and load the model in each.

        Raises: what a replica raises; DeviceError when one dies.
        """
        self._spec = spec
        self._degrees = degrees
        self._said: SimpleQueue[tuple[int, Reply | None]] = SimpleQueue()
        self._is_broken = False
        self._processes: list[ReplicaProcess] = []
        try:
            for number, variables in enumerate(_variables(spec, degrees, device)):
                self._processes.append(ReplicaProcess(number, variables, self._hear))
            self.info = self._load(model)
            """What is told of them, without the time of loading."""

            self.texts = _texts(spec, model, self.info)
        except BaseException:
            self._end()
            raise
        self.encoder = Encoder(self.texts, self.info.context_tokens, self.info.vocabulary_size)

    def begin(self, spec: RunSpec) -> EngineInfo:
        """Get all ready for another run."""
        self._spec = spec
        return self._together(self._ask_all(Begin(self._own(spec)), Ready))

    def answer(self, rows: Rows) -> Iterator[list[Completion]]:
        """Yield the completions of rows of one kind as they are computed, by whichever replica.

        Of rows that are drawn each has its seed, so that it does not matter which replica draws it.
        """
        dealt = {
            number: share for number, share in enumerate(_dealt(rows, len(self._processes))) if share.encoded
        }
        for number, share in dealt.items():
            self._ask(number, share)
        for number, what in self._replies(dealt):
            if isinstance(what, Batch):
                yield list(what.completions)
            elif not isinstance(what, Answered) or what.count != len(dealt[number].encoded):
                raise EngineError(f"replica {number} has not answered all that it was asked: {what}")

    def peak_memory_bytes(self) -> int | None:
        """Return the highest peak of all since the last call; `None` if one does not know its own."""
        return highest([peak.memory_bytes for peak in self._ask_all(Word.PEAK, Peak)])

    def usage(self) -> EngineUsage:
        """Return what was done by all together."""
        usages = [used.usage for used in self._ask_all(Word.USAGE, Used)]
        return usage_together(usages, usages)

    def close(self) -> None:
        """End all of them."""
        self.texts.template.close()
        self._end()

    def _load(self, model: ModelInfo) -> EngineInfo:
        # What is free is looked at when all have imported what is heavy, and before any takes its part.
        device = self._ask_all(Word.PREPARE, Prepared)[0].device
        free = free_bytes(device) if device == "cpu" else None
        host_bytes = None if free is None else free // len(self._processes)
        return self._together(self._ask_all(Load(self._own(self._spec), model, host_bytes), Ready))

    def _own(self, spec: RunSpec) -> RunSpec:
        """Return the spec of one replica."""
        return replace(spec, world_size=self._degrees.split, parallel=Parallel())

    def _together(self, ready: list[Ready]) -> EngineInfo:
        first, *others = (each.info for each in ready)
        notes = list(first.notes)
        for number, info in enumerate(others, start=1):
            notes += [f"replica {number}: {note}" for note in info.notes if note not in first.notes]
        contexts = [info.context_tokens for info in (first, *others) if info.context_tokens is not None]
        return replace(
            first,
            context_tokens=min(contexts, default=None),
            notes=tuple(notes),
            ranks=rank_use(self._spec, first.device),
        )

    def _ask(self, number: int, what: Word | Load | Begin | Rows) -> None:
        if not self._processes[number].ask(Asked(what)):
            raise self._lost(number)

    def _ask_all(self, what: Word | Load | Begin, kind: type[T]) -> list[T]:
        """Return what each replica says to `what`."""
        everyone = range(len(self._processes))
        for number in everyone:
            self._ask(number, what)
        said = dict(self._replies(everyone))
        found = [one for number in everyone if isinstance(one := said[number], kind)]
        if len(found) < len(said):
            raise EngineError(f"a replica says something else than {kind.__name__}: {said}")
        return found

    def _replies(self, numbers: Iterable[int]) -> Iterator[tuple[int, object]]:
        """Yield what these replicas say until each has said its last word to what it was asked.

        Raises: what they raise, when all are done.
        """
        waiting = set(numbers)
        failures: dict[int, Failure] = {}
        try:
            while waiting:
                number, what = self._next(waiting)
                if isinstance(what, Failure):
                    failures[number] = what
                else:
                    yield number, what
        except GeneratorExit:
            # The caller has stopped: what is still said is no answer to what is asked next.
            while waiting:
                self._next(waiting)
            raise
        if failures:
            raise _problem(failures, len(self._processes))

    def _next(self, waiting: set[int]) -> tuple[int, object]:
        """Return what is said next, by whom; who has said the last word is not `waiting` any more."""
        while True:
            with suppress(Empty):
                number, reply = self._said.get(timeout=_POLL_S)
                if reply is None:
                    raise self._lost(number)
                if not isinstance(reply.what, Batch):
                    waiting.discard(number)
                return number, reply.what
            for process in self._processes:
                if not process.is_alive:
                    raise self._lost(process.number)

    def _lost(self, number: int) -> DeviceError:
        self._is_broken = True
        return DeviceError(f"replica {number} of vLLM {self._processes[number].how_it_ended()}")

    def _hear(self, number: int, reply: Reply | None) -> None:
        self._said.put((number, reply))

    def _end(self) -> None:
        for process in self._processes:
            if self._is_broken:
                process.interrupt()
            else:
                process.dismiss()
        deadline = time.monotonic() + (_INTERRUPT_S if self._is_broken else _END_S)
        for process in self._processes:
            process.close(deadline)
        self._processes = []


def _variables(spec: RunSpec, degrees: Degrees, device: str) -> list[dict[str, str]]:
    """Return the variables of each replica.

    Raises: PrerequisiteError where there are fewer devices than ranks.
    """
    found = shared_out(device, os.environ, replicas=degrees.replicas, split=degrees.split)
    if device != "cpu":
        import torch

        refuse_missing(device, getattr(torch, device).device_count(), spec.world_size)
    return found


def _texts(spec: RunSpec, model: ModelInfo, info: EngineInfo) -> TextTokens:
    import transformers

    tokenizer = load_tokenizer(transformers, model, trust_remote_code=spec.trust_remote_code)
    return TextTokens(tokenizer, embeddings=info.vocabulary_size)


def _dealt(rows: Rows, count: int) -> list[Rows]:
    """Return the rows of each of `count` replicas.

    A timed batch is never divided: its times are of one model.
    """
    encoded = list(rows.encoded)
    parts = [encoded] if encoded[0].request.ignore_eos else shares(encoded, count)
    names = [one.request.id for one in encoded]
    seeds = dict(zip(names, rows.seeds, strict=True)) if rows.seeds else {}
    return [
        replace(rows, encoded=part, seeds=[seeds[one.request.id] for one in part] if seeds else ())
        for part in parts
    ]


def _problem(failures: Mapping[int, Failure], replicas: int) -> ModelTestError:
    """Return the error that stands for what failed; what all say alike needs no number."""
    number, first = min(failures.items())
    said_by_all = len(failures) == replicas and len({failure.text for failure in failures.values()}) == 1
    text: Any = first.text if said_by_all else f"replica {number}: {first.text}"
    return error_by_name(first.error)(text)
