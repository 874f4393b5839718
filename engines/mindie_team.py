"""Several ranks of MindIE: rank 0 decides on every call of a runner, the others make the same calls.

MindIE connects its ranks itself once a runner is made. What rank 0 tells goes through the store that torchrun
keeps for its ranks, so that no connection of ours is in MindIE's way. Each call ends with a word from every
rank: what runs out of memory on one is given up on all.
"""

from __future__ import annotations

import os
import pickle
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

from engines.mindie_library import ranks
from engines.mindie_runner import Inferred, PagedRunner, Row
from engines.mindie_sizes import RunnerSize
from modeltest.api import DeviceError, EngineError, OutOfMemory, RankLost

PATIENCE = timedelta(days=7)
"""Another rank may compute for long; when one dies, torchrun ends the others."""

GRACE = timedelta(minutes=5)
"""How long rank 0 may take to leave a call in which another rank ran out of memory.

It gets no further than the next exchange with that rank, where it would wait until the library gives up.
"""

_COMPUTING = ("infer", "warm_up")
"""Calls in which the ranks wait for each other."""

_DONE = "done"
_OUT_OF_MEMORY = "out of memory"
_DEVICE_FAILED = f"{DeviceError.__name__}: "
_END = "end"


class Team:
    """The ranks of a run, numbered from 0, that make the calls of one runner together."""

    def __init__(self, store: Any, *, rank: int, size: int) -> None:
        self._store = store
        self._rank = rank
        self._size = size
        self._calls = 0

    @staticmethod
    def of_this_process() -> Team:
        """Return the team torchrun has started, or a team of one."""
        own = ranks()
        store = None if own["world_size"] == 1 else _store()
        return Team(store, rank=own["rank"], size=own["world_size"])

    @property
    def size(self) -> int:
        """How many ranks there are."""
        return self._size

    def lead(self, runner: Any, name: str, *arguments: Any, **named: Any) -> Any:
        """Return what method `name` of `runner` returns, having the other ranks call it on theirs.

        Raises: what it raises; OutOfMemory, DeviceError or EngineError for what another rank met.
        """
        if self._size == 1:
            return getattr(runner, name)(*arguments, **named)
        number = self._next()
        self._store.set(f"call/{number}", pickle.dumps((name, arguments, named)))
        value, problem = _attempt(lambda: getattr(runner, name)(*arguments, **named))
        if problem is not None and not isinstance(problem, OutOfMemory):
            raise problem  # the others may wait for this rank in the middle of the call
        others = {rank: self._word(number, rank) for rank in range(1, self._size)}
        if problem is not None:
            raise problem
        for rank, word in others.items():
            if word.startswith(_OUT_OF_MEMORY):
                raise OutOfMemory(f"rank {rank}: {word}")
            if word != _DONE:
                kind = DeviceError if word.startswith(_DEVICE_FAILED) else EngineError
                raise kind(f"rank {rank}: {word}")
        return value

    def end(self) -> None:
        """Let the other ranks go."""
        if self._size > 1:
            self._store.set(f"call/{self._next()}", pickle.dumps((_END, (), {})))

    def follow(self, runner: Any) -> None:
        """Make the calls that rank 0 makes until it ends.

        Raises: what a call raises, unless memory ran out; DeviceError when it did and rank 0 is stuck.
        """
        while True:
            number = self._next()
            with _contact(self._rank):
                call = self._store.get(f"call/{number}")
            name, arguments, named = pickle.loads(call)
            if name == _END:
                return
            _, problem = _attempt(lambda: getattr(runner, name)(*arguments, **named))  # noqa: B023 - at once
            with _contact(self._rank):
                self._store.set(f"word/{number}/{self._rank}", _word_of(problem))
            if problem is not None and not isinstance(problem, OutOfMemory):
                raise problem
            if problem is not None and name in _COMPUTING:
                self._await_leader(problem)

    def _await_leader(self, problem: Exception) -> None:
        """Wait for the call after one in which memory ran out here.

        Raises: DeviceError when none comes: a fresh process does better than a rank 0 that waits for this.
        """
        try:
            self._store.wait([f"call/{self._calls + 1}"], GRACE)
        except RuntimeError:
            raise DeviceError(f"{problem}; rank 0 waits for this rank in the middle of the call") from None

    def _word(self, number: int, rank: int) -> str:
        key = f"word/{number}/{rank}"
        word: bytes = self._store.get(key)
        self._store.delete_key(key)
        return word.decode()

    def _next(self) -> int:
        self._calls += 1
        return self._calls


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
        self._lead("make", size, prefill_rows)

    def warm_up(self) -> None:
        """Make the KV cache, once for a runner; see `PagedRunner.warm_up`."""
        if not self._runner.is_warm:
            self._lead("warm_up")

    def prefill_tokens(self) -> int:
        """Return how many prompt tokens a prefill takes."""
        self.warm_up()
        return self._runner.prefill_tokens()

    def infer(
        self, rows: Sequence[Row], *, max_new_tokens: int, ignore_eos: bool, with_logits: bool
    ) -> Inferred:
        """Run requests together; see `PagedRunner.infer`."""
        answer: Inferred = self._lead(
            "infer", rows, max_new_tokens=max_new_tokens, ignore_eos=ignore_eos, with_logits=with_logits
        )
        return answer

    def end(self) -> None:
        """Free the model on all ranks and let them go."""
        try:
            self._lead("free")
        finally:
            self._team.end()

    def _lead(self, name: str, *arguments: Any, **named: Any) -> Any:
        try:
            return self._team.lead(self._runner, name, *arguments, **named)
        except OutOfMemory as problem:
            text = str(problem)
        # Outside the handler: what it holds would keep the old runner alive.
        self._team.lead(self._runner, "free")
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


def _word_of(problem: Exception | None) -> str:
    if problem is None:
        return _DONE
    return str(problem) if isinstance(problem, OutOfMemory) else f"{type(problem).__name__}: {problem}"


def _store() -> Any:
    from torch import distributed

    if os.environ.get("TORCHELASTIC_USE_AGENT_STORE") != "True":
        raise EngineError("MindIE's ranks must be started by torchrun, whose store they share")
    torch_stores: Any = distributed  # they have no types
    host, port = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
    # torchrun's agent keeps the store; every rank is its client.
    store = torch_stores.TCPStore(host, port, is_master=False, timeout=PATIENCE)
    return torch_stores.PrefixStore("modeltest", store)
