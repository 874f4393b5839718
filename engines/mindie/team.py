"""Several ranks of MindIE: rank 0 decides on every call of a runner, the others make the same calls.

MindIE connects its ranks itself once a runner is made. What rank 0 tells goes through the store that
torchrun keeps for its ranks, so that no connection of ours is in MindIE's way. Whoever reaches that store can
write into it: only what a rank has sealed (`modeltest.machine.rank_messages`) is read from it. Each call ends
with a word from every rank: what runs out of memory on one is given up on all.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from enum import Enum
from typing import Any

from engines.mindie.calls import KINDS, Call, End, Free, Infer, Make, WarmUp
from engines.mindie.calls import make as make_call
from engines.mindie.library import ranks
from engines.mindie.runner import Inferred, PagedRunner, RunnerRow
from engines.mindie.sizes import RunnerSize
from modeltest.api import DeviceError, EngineError, OutOfMemory, RankLost, RankMessageRefused
from modeltest.machine.rank_messages import Seal, seal_of_ranks
from modeltest.plain.contracts import from_plain, to_plain

PATIENCE = timedelta(days=7)
"""Another rank may compute for long; when one dies, torchrun ends the others."""

GRACE = timedelta(minutes=5)
"""How long rank 0 may take to leave a call in which another rank ran out of memory.

It gets no further than the next exchange with that rank, where it would wait until the library gives up.
"""

_COMPUTING = (Infer, WarmUp)
"""Calls in which the ranks wait for each other."""


class CallOutcome(Enum):
    """How a call went on one rank."""

    DONE = "done"
    OUT_OF_MEMORY = "out of memory"
    DEVICE_FAILED = "device failed"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Word:
    """What a rank says at the end of a call."""

    outcome: CallOutcome
    text: str = ""


@dataclass(frozen=True, slots=True)
class _Told:
    """A call as it travels."""

    method: str
    fields: dict[str, Any]


class Team:
    """The ranks of a run, numbered from 0, that make the calls of one runner together."""

    def __init__(self, store: Any, seal: Seal | None, *, rank: int, size: int) -> None:
        self._store = store
        self._seal = seal
        self._rank = rank
        self._size = size
        self._calls = 0

    @staticmethod
    def of_this_process() -> Team:
        """Return the team torchrun has started, or a team of one."""
        own = ranks()
        is_alone = own["world_size"] == 1
        store, seal = (None, None) if is_alone else (_store(), seal_of_ranks(os.environ))
        return Team(store, seal, rank=own["rank"], size=own["world_size"])

    @property
    def size(self) -> int:
        """How many ranks there are."""
        return self._size

    def lead(self, runner: Any, call: Call) -> Any:
        """Return what `call` returns of `runner`, having the other ranks make it on theirs.

        Raises: what it raises; OutOfMemory, DeviceError or EngineError for what another rank met.
        """
        if self._size == 1:
            return make_call(call, runner)
        number = self._tell(call)
        value, problem = _attempt(lambda: make_call(call, runner))
        if problem is not None and not isinstance(problem, OutOfMemory):
            raise problem  # the others may wait for this rank in the middle of the call
        others = {rank: self._word(number, rank) for rank in range(1, self._size)}
        if problem is not None:
            raise problem
        for rank, word in others.items():
            if word.outcome is not CallOutcome.DONE:
                raise _ERRORS[word.outcome](f"rank {rank}: {word.text}")
        return value

    def end(self) -> None:
        """Let the other ranks go."""
        if self._size > 1:
            self._tell(End())

    def follow(self, runner: Any) -> None:
        """Make the calls that rank 0 makes until it ends.

        Raises: what a call raises, unless memory ran out; DeviceError when it did and rank 0 is stuck;
        RankMessageRefused for what is no call of rank 0.
        """
        while True:
            call = self._heard()
            if isinstance(call, End):
                return
            _, problem = _attempt(lambda: make_call(call, runner))  # noqa: B023 - at once
            key = f"word/{self._calls}/{self._rank}"
            with _contact(self._rank):
                self._store.set(key, self._sealed().close(_word_of(problem), about=key))
            if problem is not None and not isinstance(problem, OutOfMemory):
                raise problem
            if problem is not None and isinstance(call, _COMPUTING):
                self._await_leader(problem)

    def _tell(self, call: Call) -> int:
        """Let the other ranks know of `call` and return its number."""
        self._calls += 1
        key = f"call/{self._calls}"
        told = _Told(call.method, to_plain(call))
        self._store.set(key, self._sealed().close(told, about=key))
        return self._calls

    def _heard(self) -> Call:
        """Return the next call of rank 0."""
        self._calls += 1
        key = f"call/{self._calls}"
        with _contact(self._rank):
            sealed = self._store.get(key)
        told = self._sealed().open(sealed, _Told, about=key)
        try:
            return from_plain(KINDS[told.method], told.fields)
        except (KeyError, ValueError) as problem:
            raise RankMessageRefused(
                f"what came as {key!r} is no call of a runner: {problem!s:.200}"
            ) from None

    def _sealed(self) -> Seal:
        assert self._seal is not None
        return self._seal

    def _await_leader(self, problem: Exception) -> None:
        """Wait for the call after one in which memory ran out here.

        Raises: DeviceError when none comes: a fresh process does better than a rank 0 that waits for this.
        """
        try:
            self._store.wait([f"call/{self._calls + 1}"], GRACE)
        except RuntimeError:
            raise DeviceError(f"{problem}; rank 0 waits for this rank in the middle of the call") from None

    def _word(self, number: int, rank: int) -> Word:
        key = f"word/{number}/{rank}"
        sealed = self._store.get(key)
        self._store.delete_key(key)
        return self._sealed().open(sealed, Word, about=key)


class LedRunner:
    """The runners of all ranks, as rank 0 calls them; one that ran out of memory is freed on all."""

    def __init__(self, runner: PagedRunner, team: Team) -> None:
        self._runner = runner
        self._team = team
        self.loads = 0
        """How often the model was loaded."""

    @property
    def raw(self) -> Any:
        """Rank 0's runner itself."""
        return self._runner.raw

    @property
    def size(self) -> RunnerSize | None:
        """What the runners are made for; `None` when there are none."""
        return self._runner.size

    @property
    def device(self) -> str:
        """The kind of device."""
        return self._runner.device

    @property
    def shares_prompts(self) -> bool:
        """Whether ranks share the tokens of a prompt; see `PagedRunner.shares_prompts`."""
        return self._runner.shares_prompts

    def make(self, size: RunnerSize, prefill_rows: int | None = None) -> None:
        """Load the model for `size`; see `PagedRunner.make`."""
        before = f", after one for {self.size}" if self.size else ""
        self.loads += 1
        sys.stderr.write(f"load {self.loads} of the model, for {size}{before}\n")  # the log of the run
        self._lead(Make(size, prefill_rows))

    def warm_up(self) -> None:
        """Make the KV cache, once for a runner; see `PagedRunner.warm_up`."""
        if not self._runner.is_warm:
            self._lead(WarmUp())

    def prefill_tokens(self) -> int:
        """Return how many prompt tokens a prefill takes."""
        self.warm_up()
        return self._runner.prefill_tokens()

    def infer(
        self, rows: Sequence[RunnerRow], *, max_new_tokens: int, ignore_eos: bool, with_logits: bool
    ) -> Inferred:
        """Run requests together; see `PagedRunner.infer`."""
        answer: Inferred = self._lead(Infer(rows, max_new_tokens, ignore_eos, with_logits))
        return answer

    def end(self) -> None:
        """Free the model on all ranks and let them go."""
        try:
            self._lead(Free())
        finally:
            self._team.end()

    def _lead(self, call: Call) -> Any:
        try:
            return self._team.lead(self._runner, call)
        except OutOfMemory as problem:
            text = str(problem)
        # Outside the handler: what it holds would keep the old runner alive.
        self._team.lead(self._runner, Free())
        raise OutOfMemory(text)


@contextmanager
def _contact(rank: int) -> Iterator[None]:
    """Name what it means when the store of torchrun, on the first node, is gone."""
    try:
        yield
    except RuntimeError as problem:
        reason = " ".join(str(problem).split())
        raise RankLost(f"rank {rank} lost contact with the first node: {reason:.200}") from problem


def _attempt(work: Callable[[], Any]) -> tuple[Any, Exception | None]:
    try:
        return work(), None
    except Exception as problem:
        return None, problem


def _word_of(problem: Exception | None) -> Word:
    if problem is None:
        return Word(CallOutcome.DONE)
    if isinstance(problem, OutOfMemory):
        return Word(CallOutcome.OUT_OF_MEMORY, str(problem))
    failed = CallOutcome.DEVICE_FAILED if isinstance(problem, DeviceError) else CallOutcome.FAILED
    return Word(failed, f"{type(problem).__name__}: {problem}")


_ERRORS = {
    CallOutcome.OUT_OF_MEMORY: OutOfMemory,
    CallOutcome.DEVICE_FAILED: DeviceError,
    CallOutcome.FAILED: EngineError,
}


def _store() -> Any:
    from torch import distributed

    if os.environ.get("TORCHELASTIC_USE_AGENT_STORE") != "True":
        raise EngineError("MindIE's ranks must be started by torchrun, whose store they share")
    torch_stores: Any = distributed  # they have no types
    host, port = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
    # torchrun's agent keeps the store; every rank is its client.
    store = torch_stores.TCPStore(host, port, is_master=False, timeout=PATIENCE)
    return torch_stores.PrefixStore("modeltest", store)
