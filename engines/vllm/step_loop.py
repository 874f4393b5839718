"""The loop that steps vLLM's engine: rows go in while others are in flight, and every step is looked at."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Protocol

from engines.common.device import is_out_of_memory
from engines.common.memory import out_of_memory_text
from engines.vllm.asks import Answer, Ask
from modeltest.api import DeviceError, EngineError


class Stepped(Protocol):
    """An engine that is stepped; see `names.Core`."""

    def add(self, name: str, ask: Ask) -> None:
        """Submit a row."""

    def step(self) -> list[object]:
        """Take one step and return what rows got."""

    def take(self, output: object, ask: Ask, answer: Answer, now_ns: int, clock_ns: int) -> None:
        """Add what a row got to its answer."""

    def is_busy(self) -> bool:
        """Say whether rows are unfinished."""

    def abort(self, names: Sequence[str]) -> None:
        """Forget unfinished rows."""

    def forget(self) -> None:
        """Drop what is held of earlier rows."""


@dataclass(frozen=True, slots=True)
class Clock:
    """When the first row was submitted, on the clock of the loop and on that of vLLM's own times."""

    begin_ns: int
    engine_ns: int


@dataclass(slots=True)
class Counts:
    """What the engine did."""

    steps: int = 0
    computed_tokens: int = 0
    reused_tokens: int = 0
    split_batches: int = 0
    held_times: int = 0
    """Times of first and last tokens that were held against vLLM's own."""

    differing_times: int = 0


@dataclass(frozen=True, slots=True)
class Done:
    """A row that has finished, by its place among those asked; `error` says why it could not be fed."""

    place: int
    answer: Answer
    error: str | None = None


class StepLoop:
    """Feeds rows to one engine."""

    def __init__(self, core: Stepped) -> None:
        self._core = core
        self._asked = 0
        self.counts = Counts()
        self.reuses = True
        """Whether rows may read what earlier ones left, where they say they may."""

        self.scores_rows = True
        """Whether the engine can be asked for the log-probabilities of a row's own tokens."""

    def forget(self) -> None:
        """Drop what is held of earlier rows."""
        self._core.forget()

    def start_counting(self) -> None:
        """Count from now on: what was asked to try the model and to warm it up is not part of a run."""
        self.counts = Counts()

    def run(self, asks: Sequence[Ask], rows: int) -> Iterator[list[Done]]:
        """Yield rows as they finish, `rows` in flight at most.

        Rows that run out of memory together begin again, half as many at once; one that does not fit even
        alone has an error.
        """
        left = dict(enumerate(asks))
        while left:
            places = list(left)
            try:
                for finished in self.together([left[place] for place in places], rows):
                    named = [replace(done, place=places[done.place]) for done in finished]
                    for done in named:
                        del left[done.place]
                    yield named
                return
            except Exception as problem:
                if not is_out_of_memory(problem):
                    raise
                text = out_of_memory_text(f"{min(rows, len(left))} rows together", problem)
            self.counts.split_batches += 1
            if rows == 1:
                lost = next(iter(left))
                del left[lost]
                yield [Done(lost, Answer(), text)]
            rows = max(rows // 2, 1)

    def together(self, asks: Sequence[Ask], rows: int) -> Iterator[list[Done]]:
        """Yield rows as they finish, `rows` in flight at most.

        Whatever ends this early, the engine forgets the rows in flight and is ready for others.

        Raises: whatever the engine raises; DeviceError when it cannot go on.
        """
        flying: dict[str, tuple[int, Answer]] = {}
        waiting = iter(enumerate(asks))
        with self._cleared(flying):
            clock = Clock(time.perf_counter_ns(), time.monotonic_ns())
            while True:
                while len(flying) < rows and (following := next(waiting, None)) is not None:
                    place, ask = following
                    name = self._next_name()
                    flying[name] = (place, Answer())
                    self._core.add(name, ask if self.reuses else replace(ask, may_reuse=False))
                if not flying:
                    return
                finished = self._step(asks, flying, clock)
                if finished:
                    yield finished

    def _step(self, asks: Sequence[Ask], flying: dict[str, tuple[int, Answer]], clock: Clock) -> list[Done]:
        outputs = self._core.step()
        now_ns = time.perf_counter_ns() - clock.begin_ns
        self.counts.steps += 1
        finished, ended = [], []
        for output in outputs:
            name: str = output.request_id  # type: ignore[attr-defined]
            place, answer = flying[name]
            ask = asks[place]
            known = len(answer.tokens)
            self._core.take(output, ask, answer, now_ns, clock.engine_ns)
            if _ends(ask, answer, known) and not answer.is_finished:
                answer.is_finished = True
                ended.append(name)
            if answer.is_finished:
                del flying[name]
                self._count(ask, answer)
                finished.append(Done(place, answer))
        if ended:
            self._core.abort(ended)
        if not outputs and not self._core.is_busy():
            raise EngineError(f"vLLM has nothing to do and {len(flying)} rows are unanswered")
        return finished

    @contextmanager
    def _cleared(self, flying: dict[str, tuple[int, Answer]]) -> Iterator[None]:
        """Have the engine forget what is in flight when it is left before its end."""
        try:
            yield
        except BaseException as problem:
            if flying:
                self._recover(list(flying), problem)
            raise

    def _recover(self, names: Sequence[str], problem: BaseException) -> None:
        try:
            self._core.abort(names)
            # Blocks are known to the cache when they are planned, not when they are computed.
            self._core.forget()
        except Exception as further:
            raise DeviceError(
                f"vLLM's engine cannot go on ({further}) after {type(problem).__name__}: {problem}"
            ) from problem

    def _count(self, ask: Ask, answer: Answer) -> None:
        self.counts.reused_tokens += answer.reused_tokens
        # The last new token is never fed.
        self.counts.computed_tokens += len(ask.ids) - answer.reused_tokens + len(answer.tokens) - 1

    def _next_name(self) -> str:
        self._asked += 1
        return str(self._asked)


def _ends(ask: Ask, answer: Answer, known: int) -> bool:
    """Say whether the row ends with one of the tokens after the first `known`; what follows it is dropped."""
    if ask.ends is None:
        return False
    for count in range(known + 1, len(answer.tokens) + 1):
        if ask.ends(answer.tokens[count - 1], answer.tokens[:count]):
            del answer.tokens[count:]
            answer.ended = True
            return True
    return False
