"""The ranks of a run as `torch.distributed` connects them, and how they agree.

Two groups of connections. One, gloo on the host, carries what ranks tell each other; it lasts as long as
the run, and when it breaks a rank has died. The other (`ModelGroup`) carries what the model computes and is
cut on purpose by a rank that fails in the middle of a forward pass: the others, waiting for its part, fail
too, and all meet in the first group to agree on what happened.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING, Any, TypeVar

from engines.common.device import is_out_of_memory
from engines.common.device_errors import is_device_error
from engines.hf.ranks.messages import RankMessages
from engines.hf.ranks.model_group import PATIENCE, AnotherRankFailed, ModelGroup
from modeltest.api import DeviceError, EngineError, ModelTestError, RankLost, error_by_name
from modeltest.machine.rank_messages import seal_of_ranks

if TYPE_CHECKING:
    from collections.abc import Iterator

T = TypeVar("T")

_OF_TORCHRUN = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE")


class OutOfMemoryOnARank(RuntimeError):
    """Memory ran out on one of the ranks, so that the work was given up on all."""


class _Outcome(IntEnum):
    """How work went on one rank, from best to worst."""

    DONE = 0
    CUT_OFF = 1
    OUT_OF_MEMORY = 2
    FAILED = 3


@dataclass(frozen=True, slots=True)
class Report:
    """What a rank says of an attempt that failed somewhere."""

    attempt: int
    outcome: _Outcome
    error: str
    """The class, if it is one of ModelTest's."""

    text: str


class RankGroup:
    """All ranks of the run; those that share a model are `operations.Ranks`."""

    def __init__(
        self, messages: RankMessages, rank: int, size: int, *, local_rank: int, local_size: int
    ) -> None:
        self._messages = messages
        self.rank = rank
        self.size = size
        self.local_rank = local_rank
        """Among the ranks of this machine, of which there are `local_size`."""

        self.local_size = local_size
        self.model: ModelGroup | None = None
        self._attempts = 0
        self._agreed: BaseException | None = None

    def attempt(self, work: Callable[[], T]) -> T:
        """Return what `work` returns; if it fails on one rank, raise on all; see `Ranks.attempt`.

        Attempts may be nested: what an inner one agreed on passes through an outer one.
        """
        self._attempts += 1
        number = self._attempts
        problem: Exception | None = None
        try:
            value = work()
        except Exception as raised:
            if raised is self._agreed or isinstance(raised, RankLost):
                raise
            problem = raised
            if self.model is not None:
                self.model.hang_up()
        self._agree(number, problem)
        return value

    def is_agreed(self, problem: BaseException) -> bool:
        """Say whether every rank raised `problem`, so that rank 0 can be left to report it."""
        return problem is self._agreed

    def broadcast(self, message: object) -> None:
        """Rank 0: send `message` to every other rank."""
        with _contact(self.rank):
            self._messages.broadcast(message)

    def receive_broadcast(self, kind: type[T]) -> T:
        """Return the `kind` that rank 0 broadcasts."""
        with _contact(self.rank):
            return self._messages.receive_broadcast(kind)

    def scatter(self, messages: Sequence[T]) -> T:
        """Rank 0: send `messages[r]` to each rank r and return its own."""
        with _contact(self.rank):
            self._messages.scatter(messages)
        return messages[0]

    def receive_scattered(self, kind: type[T]) -> T:
        """Return the `kind` that rank 0 scatters to this rank."""
        with _contact(self.rank):
            return self._messages.receive_scattered(kind)

    def gather(self, value: T) -> list[T]:
        """Return the `value` of every rank, all of one kind, in their order; other ranks get nothing."""
        with _contact(self.rank):
            if self.rank == 0:
                return [value, *self._messages.gather(type(value))]
            self._messages.send_to_first(value)
        return []

    def same(self, tensor: Any) -> Any:
        """Return `tensor` as rank 0 has it."""
        return tensor if self.model is None else self.model.broadcast(tensor)

    def least(self, value: int) -> int:
        """Return the smallest `value` of all ranks."""
        import torch.distributed as dist

        return self._reduced(value, dist.ReduceOp.MIN)

    def meet(self) -> None:
        """Wait until all ranks are here."""
        self.least(0)

    def leave(self) -> None:
        """Close every connection."""
        import torch.distributed as dist

        self.model = None
        if dist.is_initialized():
            dist.destroy_process_group()

    def _agree(self, number: int, problem: Exception | None) -> None:
        """Return if no rank has a `problem`, else raise the worst one.

        Raises: the same on every rank.
        """
        import torch.distributed as dist

        outcome = _outcome(problem)
        if self._reduced(int(outcome), dist.ReduceOp.MAX) == _Outcome.DONE:
            return
        with _contact(self.rank):
            reports = self._messages.all_gather(Report(number, outcome, *_named(problem)))
        if self.model is not None:
            self.model.renew()
        self._agreed = _worst(reports)
        raise self._agreed from problem

    def _reduced(self, value: int, operation: Any) -> int:
        import torch
        import torch.distributed as dist

        tensor = torch.tensor([value], dtype=torch.int64)
        with _contact(self.rank):
            dist.all_reduce(tensor, op=operation)
        return int(tensor)


def join(size: int) -> RankGroup:
    """Connect this process with the other ranks, which torchrun has started.

    Raises: EngineError when it has not.
    """
    import torch.distributed as dist

    try:
        rank, started, local_rank, local_size = (int(os.environ[name]) for name in _OF_TORCHRUN)
    except (KeyError, ValueError):
        raise EngineError(
            f"a run on {size} ranks was started without torchrun; start it with modeltest or run.sh"
        ) from None
    if started != size:
        raise EngineError(f"torchrun started {started} ranks for a run on {size}")
    if not dist.is_initialized():
        dist.init_process_group("gloo", timeout=PATIENCE)
    messages = RankMessages(rank, size, seal_of_ranks(os.environ))
    return RankGroup(messages, rank, size, local_rank=local_rank, local_size=local_size)


@contextmanager
def _contact(rank: int) -> Iterator[None]:
    """Raise RankLost for a broken connection of the host."""
    try:
        yield
    except RuntimeError as problem:
        reason = " ".join(str(problem).split())
        raise RankLost(f"rank {rank} lost contact with the other ranks: {reason:.200}") from problem


def _outcome(problem: Exception | None) -> _Outcome:
    if problem is None:
        return _Outcome.DONE
    if isinstance(problem, AnotherRankFailed):
        return _Outcome.CUT_OFF
    return _Outcome.OUT_OF_MEMORY if is_out_of_memory(problem) else _Outcome.FAILED


def _named(problem: Exception | None) -> tuple[str, str]:
    """Return the class, if it is one of ModelTest's, and the text of `problem`."""
    if isinstance(problem, ModelTestError):
        return type(problem).__name__, str(problem)
    if problem is not None and is_device_error(problem):
        return DeviceError.__name__, " ".join(str(problem).split())[:400]
    text = " ".join(str(problem).split())
    return "", text if problem is not None and is_out_of_memory(problem) else f"{_class_of(problem)}: {text}"


def _class_of(problem: Exception | None) -> str:
    return type(problem).__name__


def _worst(reports: Sequence[Report]) -> Exception:
    """Return the error that stands for what each rank reports.

    Ranks that were at different attempts are out of step; no smaller batch brings them together again.
    """
    rank, worst = max(enumerate(reports), key=lambda one: (one[1].outcome, -one[0]))
    in_step = len({report.attempt for report in reports}) == 1
    if worst.outcome == _Outcome.OUT_OF_MEMORY and in_step:
        return OutOfMemoryOnARank(f"out of memory on rank {rank}: {worst.text}")
    said_by_all = all((report.error, report.text) == (worst.error, worst.text) for report in reports)
    message = worst.text if said_by_all and worst.error else f"rank {rank}: {worst.text}"
    return error_by_name(worst.error)(message) if worst.error else EngineError(message)
