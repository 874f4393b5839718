"""Requests with choices to rows and back."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from engines.common.completions import completion
from engines.common.encoding import Encoded
from engines.common.token_rows import choice_rows
from engines.vllm.asks import Ask, prefix_order
from engines.vllm.row_scores import RowScores
from engines.vllm.step_loop import Done, StepLoop
from modeltest.api import Completion

NOT_NUMBERS = "the model's logits are not numbers (NaN)"


@dataclass(slots=True)
class _Choices:
    """The choices of one request, as their rows come in."""

    encoded: Encoded
    rows: list[_Row] = field(default_factory=list)
    waiting: int = 0
    """Rows that are not all there."""

    error: str | None = None

    def completion(self) -> Completion:
        """Return what is known when all rows are there."""
        if self.error is not None:
            return completion(self.encoded, error=self.error)
        count = len(self.encoded.choice_ids)
        parts: list[list[float]] = [[] for _ in range(count)]
        greedy = [True] * count
        for row in self.rows:
            for choice, of_tokens, is_greedy in row.scores.readings():
                parts[choice] += of_tokens
                greedy[choice] &= is_greedy
        logprobs = tuple(math.fsum(of_choice) for of_choice in parts)
        if any(math.isnan(value) for value in logprobs):
            return completion(self.encoded, error=NOT_NUMBERS)
        return completion(
            self.encoded,
            choice_logprobs=logprobs,
            choice_is_greedy=tuple(greedy),
            token_logprobs=tuple(map(tuple, parts)) if self.encoded.request.each_token else (),
        )


@dataclass(slots=True)
class _Row:
    owner: _Choices
    scores: RowScores
    waiting: int = 1
    """Asks that are not answered."""

    def own(self, ask: Ask) -> Ask:
        """Return `ask` for the adapter that answers the request."""
        return replace(ask, adapter=self.owner.encoded.request.adapter)

    def take(self, ask: Ask, done: Done) -> list[Ask]:
        """Take in the answer to one of its asks; return what is still to be asked when it was the last."""
        if done.error is None:
            self.scores.take(ask, done.answer)
        else:
            self.owner.error = self.owner.error or done.error
        self.waiting -= 1
        if self.waiting:
            return []
        more = [] if self.owner.error else [self.own(again) for again in self.scores.next_asks()]
        self.waiting = len(more)
        self.owner.waiting -= not more
        return more


def choose(batch: Sequence[Encoded], loop: StepLoop, batch_size: int) -> Iterator[list[Completion]]:
    """Yield the completions of requests with choices as their rows are fed; rows that begin alike in turn."""
    asked: list[tuple[_Row, Ask]] = [
        (row, row.own(row.scores.first_ask()))
        for encoded in batch
        for row in _rows(encoded, is_in_pieces=not loop.scores_rows)
    ]
    while asked:
        order = prefix_order([ask.ids for _, ask in asked], [ask.adapter for _, ask in asked])
        again: list[tuple[_Row, Ask]] = []
        for finished in loop.run([asked[place][1] for place in order], batch_size):
            ready = []
            for done in finished:
                row, ask = asked[order[done.place]]
                more = row.take(ask, done)
                again += [(row, each) for each in more]
                if not more and not row.waiting and not row.owner.waiting:
                    ready.append(row.owner.completion())
            if ready:
                yield ready
        asked = again


def _rows(encoded: Encoded, *, is_in_pieces: bool) -> list[_Row]:
    owner = _Choices(encoded)
    owner.rows = [_Row(owner, RowScores(row, is_in_pieces)) for row in choice_rows(encoded)]
    owner.waiting = len(owner.rows)
    return owner.rows
