"""Generation that never waits: a row that ends makes room for the next at once.

The rows in flight go on with every pass, and the prompts of the rows that take the places of those that
ended are fed in the same pass. Prefixes are computed once and read where they are held. Where a pass has
places to spare, rows are fed guesses too (`drafts.py`), and go on by as many as the model says itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import zip_longest
from typing import TYPE_CHECKING

from engines.common.completions import completion
from engines.common.encoding import Encoded
from engines.common.token_rows import Row
from engines.hf.answering.answers import generated
from engines.hf.answering.drafts import Drafts
from engines.hf.model.endings import ends_of
from engines.hf.model.forward import NOT_A_NUMBER, greedy
from engines.hf.packed.packed import PackedRows, Work
from engines.hf.packed.prefix_planning import Pack, plan
from engines.hf.packed.rows_in_flight import RowsInFlight, apart
from modeltest.api import Completion

if TYPE_CHECKING:
    from engines.hf.model.checkpoint_loading import Loaded

PASS_TOKENS = 16
"""So many tokens a pass take hardly longer than one: places that no row fills are given to guesses."""

MOST_GUESSES = 3
"""The fourth token guessed in a row is right too seldom."""


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
class _Said:
    """What a row has said so far."""

    drafts: Drafts
    tokens: list[int] = field(default_factory=list)
    has_ended: bool = False
    """By itself."""

    is_finished: bool = False


class _Flight:
    """The rows of one batch, fed until each has ended or memory is too small for those in flight."""

    def __init__(self, batch: Sequence[Encoded], feeder: PackedRows, loaded: Loaded) -> None:
        self._batch = batch
        self._feeder = feeder
        self._loaded = loaded
        self._ends = ends_of(batch, loaded)
        self._goes_on = any(one.request.max_new_tokens > 1 for one in batch)
        self._said: dict[int, _Said] = {}
        self.problem = ""
        """Why the last run stopped before its end."""

        self.failed: tuple[int, ...] = ()
        """The rows that were fed then."""

    def completion(self, row: int) -> Completion:
        """Return the completion of a row that has finished."""
        said = self._said.pop(row)
        return generated(self._batch[row], tuple(said.tokens), said.has_ended, self._loaded)

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
                    return finished

    def _give(self, flying: RowsInFlight) -> None:
        """Let each row be fed its newest token, and guesses of what comes then."""
        said = [self._said[name] for name in flying.names]
        guesses = max(min(PASS_TOKENS // max(len(said), 1) - 1, MOST_GUESSES), 0)
        flying.give([[each.tokens[-1], *each.drafts.guess(guesses)] for each in said])

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
            said = self._said[names[row]] = _Said(Drafts(rows[row].ids if self._goes_on else ()))
            self._take_in(names[row], [token], ())
            if said.is_finished:
                finished.append(names[row])
        for pack in packs:
            for row in pack.rows:
                if not self._said[names[row]].is_finished:
                    # The last new token is not fed.
                    last = len(rows[row].ids) + self._batch[names[row]].request.max_new_tokens - 2
                    flying.admit(names[row], *apart(forward.chain(pack, row)), last_position=last)
        return finished

    def _go_on(self, flying: RowsInFlight, newest: list[int]) -> list[int]:
        """Take in what the model says of what rows in flight were fed; return those that finish."""
        names, given = flying.names, flying.given
        if not names:
            return []
        fed = len(given[0])
        kept = [
            self._take_in(name, newest[place * fed : (place + 1) * fed], guesses)
            for place, (name, (_, *guesses)) in enumerate(zip(names, given, strict=True))
        ]
        flying.keep(kept)
        return [name for name in names if self._said[name].is_finished]

    def _take_in(self, row: int, newest: Sequence[int], guesses: Sequence[int]) -> int:
        """Let a row go on by the first of `newest`, and by the next as long as what came before was guessed.

        Return how many tokens it went on by: so many of those that were fed are its own.
        """
        said, limit = self._said[row], self._batch[row].request.max_new_tokens
        count = 0
        for token, guess in zip_longest(newest, guesses):
            count += 1
            said.tokens.append(token)
            said.has_ended = token == NOT_A_NUMBER or self._ends(row, token, said.tokens)
            said.is_finished = said.has_ended or len(said.tokens) == limit
            if said.is_finished or token != guess:
                break
        said.drafts.extend(said.tokens[-count:])
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
