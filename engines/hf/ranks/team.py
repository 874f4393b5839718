"""Several ranks that answer as one: rank 0 asks, the others follow.

Only rank 0 reads datasets and clocks, and it alone decides what is asked next. What it asks is either
computed by all ranks together, each with its part of the model, or dealt out to replicas.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from functools import partial
from typing import Any

from engines.common.device import describe_device, processor_use
from engines.common.encoding import Encoded
from engines.common.replicas import highest, shares, usage_together
from engines.hf.ranks.group import RankGroup
from engines.hf.ranks.model_group import BACKENDS
from engines.hf.ranks.splitting import Degrees
from modeltest.api import Completion, EngineError, EngineInfo, EngineUsage, RankLost, RankUse, RunSpec


@dataclass(frozen=True, slots=True)
class Member:
    """What every rank can do: answer with its model, or its part of one, and say what that took."""

    answer: Callable[[Sequence[Encoded], int], Iterator[list[Completion]]]
    """Takes requests and the batch size."""

    peak_memory_bytes: Callable[[], int | None]
    """Since the last call."""

    usage: Callable[[], EngineUsage]
    begin: Callable[[RunSpec], EngineInfo]
    """Gets ready for another run with the loaded model."""


class Word(Enum):
    """What rank 0 asks of the others beside answers."""

    PEAK = "peak"
    USAGE = "usage"
    END = "end"


@dataclass(frozen=True, slots=True)
class Together:
    """All ranks answer these requests together, batch by batch."""

    encoded: Sequence[Encoded]
    batch_size: int


@dataclass(frozen=True, slots=True)
class Begin:
    """All ranks get ready for another run."""

    spec: RunSpec


@dataclass(frozen=True, slots=True)
class Shared:
    """Each rank answers the share that it is dealt next."""

    batch_size: int


@dataclass(frozen=True, slots=True)
class Asked:
    """What rank 0 tells the others to do."""

    what: Word | Begin | Together | Shared


@dataclass(frozen=True, slots=True)
class Share:
    """The requests of one replica."""

    encoded: Sequence[Encoded]


@dataclass(frozen=True, slots=True)
class Peak:
    """The highest memory use of one rank; `None` when it does not know."""

    memory_bytes: int | None


@dataclass(frozen=True, slots=True)
class Answers:
    """What one rank made of its share; `error` instead when it failed."""

    completions: tuple[Completion, ...] = ()
    error: str | None = None


class Leader:
    """Rank 0's side."""

    def __init__(self, group: RankGroup, own: Member) -> None:
        self._group = group
        self._own = own

    def answer(self, encoded: Sequence[Encoded], batch_size: int) -> Iterator[list[Completion]]:
        """Yield the completions of `encoded` as they are computed, by whichever rank."""
        if self._group.model is None:
            return self._answer_shared(encoded, batch_size)
        return self._answer_together(encoded, batch_size)

    def peak_memory_bytes(self) -> int | None:
        """Return the highest peak of all ranks since the last call; `None` if one does not know its own."""
        self._group.broadcast(Asked(Word.PEAK))
        peaks = self._group.gather(Peak(self._own.peak_memory_bytes()))
        return highest([peak.memory_bytes for peak in peaks])

    def begin(self, spec: RunSpec) -> EngineInfo:
        """Get all ranks ready for another run."""
        self._group.broadcast(Asked(Begin(spec)))
        return self._own.begin(spec)

    def usage(self) -> EngineUsage:
        """Return what was done: by rank 0 of a split model, by all replicas together."""
        self._group.broadcast(Asked(Word.USAGE))
        usages = self._group.gather(self._own.usage())
        return usage_together(usages[:1] if self._group.model is not None else usages, usages)

    def close(self) -> None:
        """Let the other ranks end."""
        self._group.broadcast(Asked(Word.END))
        self._group.leave()

    def _answer_together(self, encoded: Sequence[Encoded], batch_size: int) -> Iterator[list[Completion]]:
        self._group.broadcast(Asked(Together(encoded, batch_size)))
        batches = self._own.answer(encoded, batch_size)
        while (batch := self._group.attempt(lambda: next(batches, None))) is not None:
            is_wanted = False
            try:
                yield batch
                is_wanted = True
            finally:  # the caller may have stopped iterating
                self._group.broadcast(is_wanted)

    def _answer_shared(self, encoded: Sequence[Encoded], batch_size: int) -> Iterator[list[Completion]]:
        self._group.broadcast(Asked(Shared(batch_size)))
        own = self._group.scatter([Share(share) for share in shares(encoded, self._group.size)])
        gathered: list[Answers] = []
        try:
            yield from self._own.answer(own.encoded, batch_size)
        finally:
            gathered = self._group.gather(Answers())
        for rank, answers in enumerate(gathered):
            if answers.error is not None:
                raise EngineError(f"rank {rank}: {answers.error}")
            if answers.completions:
                yield list(answers.completions)


def follow(group: RankGroup, own: Member) -> None:
    """Do what rank 0 asks until it ends.

    Raises: RankLost when it is gone.
    """
    while (asked := group.receive_broadcast(Asked).what) is not Word.END:
        if asked is Word.PEAK:
            group.gather(Peak(own.peak_memory_bytes()))
        elif asked is Word.USAGE:
            group.gather(own.usage())
        elif isinstance(asked, Begin):
            _unless_agreed(group, partial(own.begin, asked.spec))
        elif isinstance(asked, Together):
            _follow_together(group, own.answer(asked.encoded, asked.batch_size))
        elif isinstance(asked, Shared):
            group.gather(_answers(own.answer(group.receive_scattered(Share).encoded, asked.batch_size)))
    group.leave()


def rank_use(group: RankGroup, device: str, found: Degrees) -> RankUse:
    """Return how the ranks share the work and what each runs on; all ranks must ask."""
    return RankUse(
        world_size=group.size,
        split=found.split,
        replicas=found.replicas,
        backend=BACKENDS[device] if found.split > 1 else "gloo",
        devices=tuple(group.gather(describe_device(device))),
    )


def crowding_note(device: str, size: int) -> tuple[str, ...]:
    """Return a note where `size` ranks must share fewer processors; devices are never shared."""
    cpus = processor_use().cpus
    if device != "cpu" or size <= cpus:
        return ()
    return (f"{size} ranks share {cpus} processors: they wait for each other",)


def _follow_together(group: RankGroup, batches: Iterator[Any]) -> None:
    def answer() -> None:
        while group.attempt(lambda: next(batches, None)) is not None and group.receive_broadcast(bool):
            pass

    _unless_agreed(group, answer)


def _unless_agreed(group: RankGroup, work: Callable[[], object]) -> None:
    """Do `work`; a failure that all ranks share is rank 0's to tell."""
    try:
        work()
    except Exception as problem:
        if not group.is_agreed(problem):
            raise


def _answers(batches: Iterator[list[Completion]]) -> Answers:
    try:
        return Answers(tuple(completion for batch in batches for completion in batch))
    except RankLost:
        raise
    except Exception as problem:
        reason = " ".join(str(problem).split())
        return Answers(error=f"{type(problem).__name__}: {reason:.400}")
