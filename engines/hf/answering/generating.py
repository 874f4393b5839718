"""Continuous batching: a row that ends is replaced in the next pass, so that none waits for the longest.

The rows in flight go on with every pass, and the prompts of the rows that take the places of those that
ended are fed in the same pass. Prefixes are computed once and read where they are held. Where a pass has
places to spare, rows are fed guessed tokens too (`drafts.py`), and keep those that the model confirms.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import zip_longest
from typing import TYPE_CHECKING

from engines.common.completions import completion
from engines.common.device import give_back_free_memory
from engines.common.encoding import Encoded
from engines.common.endings import ends_of
from engines.common.token_rows import Row
from engines.hf.answering.answers import generated
from engines.hf.answering.drafts import Drafts
from engines.hf.model.forward import NOT_A_NUMBER, greedy
from engines.hf.packed.packed import PackedRows, Work
from engines.hf.packed.prefix_planning import Pack, plan
from engines.hf.packed.rows_in_flight import RowsInFlight, apart
from modeltest.api import Completion

if TYPE_CHECKING:
    from engines.hf.model.checkpoint_loading import Loaded

PASS_TOKENS = 16
"""A pass of so many tokens takes hardly longer than one of a single token: what rows leave free is filled
with guessed tokens."""

MOST_GUESSES = 3
"""Guessed tokens of a row in one pass, at most: a fourth is confirmed too seldom to pay."""


def generate_packed(
    batch: Sequence[Encoded], feeder: PackedRows, loaded: Loaded, batch_size: int
) -> Iterator[list[Completion]]:
    """Yield generations as they end, of `batch_size` rows in flight; another prompt takes the place of each.

    Rows that run out of memory together begin again, half as many at once; one that does not fit even alone
    has an `error`.
    """
    flight = _Flight(batch, feeder, loaded)
    work = [Work(tuple(range(len(batch))), batch_size, feeder.max_tokens)]
    while work:
        current = work.pop()
        left = set(current.rows)
        for finished in flight.run(current):
            left.difference_update(finished)
            yield [flight.completion(row) for row in finished]
        if not flight.problem:
            continue
        feeder.split_batches += 1
        # Where a piece of a prefix does not fit, all that is left waits for it.
        failed = flight.failed or tuple(row for row in current.rows if row in left)
        rest = tuple(row for row in current.rows if row in left.difference(failed))
        smaller = current.smaller(failed, is_piece=not flight.failed)
        if smaller is None:
            yield [completion(batch[row], error=flight.problem) for row in failed]
        work += [each for each in (Work(rest, batch_size, feeder.max_tokens), smaller) if each]


@dataclass(slots=True)
class _RowState:
    """What has been generated for a row so far."""

    drafts: Drafts
    tokens: list[int] = field(default_factory=list)
    has_ended: bool = False
    """With an end token or a stop string, not by the limit of new tokens."""

    is_finished: bool = False


class _Flight:
    """The rows of one batch, fed until each has ended or memory is too small for those in flight."""

    def __init__(self, batch: Sequence[Encoded], feeder: PackedRows, loaded: Loaded) -> None:
        self._batch = batch
        self._feeder = feeder
        self._loaded = loaded
        self._ends = ends_of(batch, loaded)
        self._goes_on = any(one.request.max_new_tokens > 1 for one in batch)
        self._states: dict[int, _RowState] = {}
        self.problem = ""
        """Why the last run stopped before its end."""

        self.failed: tuple[int, ...] = ()
        """The rows that were fed in that run."""

    def completion(self, row: int) -> Completion:
        """Return the completion of a row that has finished."""
        state = self._states.pop(row)
        return generated(self._batch[row], tuple(state.tokens), state.has_ended, self._loaded)

    def run(self, work: Work) -> Iterator[list[int]]:
        """Yield the rows that finish with each pass, until all of `work` have or `problem` says why not."""
        prompts = [self._batch[row].prompt_ids for row in work.rows]
        rows = [Row(prompt, len(prompt) - 1) for prompt in prompts]
        feeder, self.problem = self._feeder, ""
        flying = RowsInFlight(min(work.max_rows, len(rows)), feeder.device)
        waiting = _Waiting(plan(rows, max_rows=1, max_tokens=work.max_tokens))
        feeder.forward.reset()
        while finished := self._until_some_finish(waiting, work, rows, flying):
            yield finished
        feeder.forward.reset()

    def _until_some_finish(
        self, waiting: _Waiting, work: Work, rows: Sequence[Row], flying: RowsInFlight
    ) -> list[int]:
        """Feed passes until rows finish and return them; none when all have, or with a `problem`."""
        feeder = self._feeder
        with feeder.forward.as_attention():
            while True:
                packs = waiting.take(flying.free, work.max_tokens - len(flying))
                if not packs and not len(flying):
                    return []
                fed = [work.rows[row] for pack in packs for row in pack.rows]
                together = (*flying.names, *fed)
                self._give(flying)
                beside = len(flying.ids)
                step = partial(self._step, packs, rows, work.rows, flying)
                finished, problem = feeder.attempt(step, beside + sum(pack.tokens for pack in packs))
                if finished is None:
                    self.problem, self.failed = problem, together
                    return []
                feeder.count(packs, rows, beside=beside)
                if finished:
                    give_back_free_memory(feeder.device)
                    return finished

    def _give(self, flying: RowsInFlight) -> None:
        """Let each row be fed its newest token, and guesses of what comes then."""
        states = [self._states[name] for name in flying.names]
        guesses = max(min(PASS_TOKENS // max(len(states), 1) - 1, MOST_GUESSES), 0)
        flying.give([[each.tokens[-1], *each.drafts.guess(guesses)] for each in states])

    def _step(
        self, packs: Sequence[Pack], rows: Sequence[Row], names: Sequence[int], flying: RowsInFlight
    ) -> list[int]:
        """Feed `packs` and what the rows in flight are given; return the names of the rows that finish."""
        import torch

        forward, ranks = self._feeder.forward, self._feeder.ranks
        ended, beside = forward.feed_beside(packs, rows, flying, keep_rows=self._goes_on)
        logits = torch.cat([beside, *ended.values()])
        newest = ranks.same(greedy(logits)).tolist()  # what ends is decided by all ranks alike
        finished = self._go_on(flying, newest[: len(beside)])
        for name in finished:
            flying.take_out(name)
        for row, token in zip(ended, newest[len(beside) :], strict=True):
            state = self._states[names[row]] = _RowState(Drafts(rows[row].ids if self._goes_on else ()))
            self._take_in(names[row], [token], ())
            if state.is_finished:
                finished.append(names[row])
        for pack in packs:
            for row in pack.rows:
                if not self._states[names[row]].is_finished:
                    # The last new token is not fed.
                    last = len(rows[row].ids) + self._batch[names[row]].request.max_new_tokens - 2
                    flying.admit(names[row], *apart(forward.chain(pack, row)), last_position=last)
        return finished

    def _go_on(self, flying: RowsInFlight, newest: list[int]) -> list[int]:
        """Take in the model's tokens for the rows in flight; return the rows that finish."""
        names, given = flying.names, flying.given
        if not names:
            return []
        fed = len(given[0])
        kept = [
            self._take_in(name, newest[place * fed : (place + 1) * fed], guesses)
            for place, (name, (_, *guesses)) in enumerate(zip(names, given, strict=True))
        ]
        flying.keep(kept)
        return [name for name in names if self._states[name].is_finished]

    def _take_in(self, row: int, newest: Sequence[int], guesses: Sequence[int]) -> int:
        """Append the first of `newest` to a row, then each further one while the guess before it was right.

        Return how many were appended: so many of the tokens fed belong to the row.
        """
        state, limit = self._states[row], self._batch[row].request.max_new_tokens
        count = 0
        for token, guess in zip_longest(newest, guesses):
            count += 1
            state.tokens.append(token)
            state.has_ended = token == NOT_A_NUMBER or self._ends(row, token, state.tokens)
            state.is_finished = state.has_ended or len(state.tokens) == limit
            if state.is_finished or token != guess:
                break
        state.drafts.extend(state.tokens[-count:])
        return count


class _Waiting:
    """Packs of one row each that wait for their turn."""

    def __init__(self, packs: Iterator[Pack]) -> None:
        self._packs = packs
        self._next = next(packs, None)

    def take(self, rows: int, tokens: int) -> list[Pack]:
        """Return the next packs with `rows` rows and `tokens` tokens at most; one may have more tokens."""
        taken: list[Pack] = []
        while self._next is not None and rows > 0 and (not taken or self._next.tokens <= tokens):
            taken.append(self._next)
            rows -= len(self._next.rows)
            tokens -= self._next.tokens
            self._next = next(self._packs, None)
        return taken
