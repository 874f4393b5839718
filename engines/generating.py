"""Generation that never waits: a row that ends makes room for the next at once.

The rows in flight get one token more with every pass, and the prompts of the rows that take the places of
those that ended are fed in the same pass. Prefixes are computed once and read where they are held.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING

from engines.answers import generated
from engines.completions import completion
from engines.encoding import Encoded
from engines.endings import ends_of
from engines.forward import NOT_A_NUMBER, greedy
from engines.packed import PackedRows, Work
from engines.prefix_planning import Pack, Row, plan
from engines.rows_in_flight import RowsInFlight, apart
from modeltest.api import Completion

if TYPE_CHECKING:
    from engines.checkpoint_loading import Loaded


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


class _Flight:
    """The rows of one batch, fed until each has ended or memory is too small for those in flight."""

    def __init__(self, batch: Sequence[Encoded], feeder: PackedRows, loaded: Loaded) -> None:
        self._batch = batch
        self._feeder = feeder
        self._loaded = loaded
        self._ends = ends_of(batch, loaded)
        self._goes_on = any(one.request.max_new_tokens > 1 for one in batch)
        self._tokens: dict[int, list[int]] = {}
        self._ended: set[int] = set()
        self.problem = ""
        """Why the last run stopped before its end."""

        self.failed: tuple[int, ...] = ()
        """The rows that were fed then."""

    def completion(self, row: int) -> Completion:
        """Return the completion of a row that has finished."""
        tokens = tuple(self._tokens.pop(row))
        return generated(self._batch[row], tokens, row in self._ended, self._loaded)

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
                tokens = len(flying) + sum(pack.tokens for pack in packs)
                step = partial(self._step, packs, rows, work.rows, flying)
                finished, problem = feeder.attempt(step, tokens)
                if finished is None:
                    self.problem, self.failed = problem, together
                    return []
                feeder.count(packs, rows, beside=tokens - sum(pack.tokens for pack in packs))
                if finished:
                    return finished

    def _step(
        self, packs: Sequence[Pack], rows: Sequence[Row], names: Sequence[int], flying: RowsInFlight
    ) -> list[int]:
        """Feed `packs` and one token of each row in flight; return the names of the rows that finish."""
        import torch

        forward, ranks = self._feeder.forward, self._feeder.ranks
        ended, beside = forward.feed_beside(packs, rows, flying, keep_rows=self._goes_on)
        logits = torch.cat([beside, *ended.values()])
        newest = ranks.same(greedy(logits)).tolist()  # what ends is decided by all ranks alike
        in_flight = flying.names
        flying.advance(newest[: len(in_flight)])
        new = [names[row] for row in ended]
        finished = [
            name
            for name, token in zip((*in_flight, *new), newest, strict=True)
            if self._is_finished(name, token, is_first=name in new)
        ]
        for name in in_flight:
            if name in finished:
                flying.take_out(name)
        for pack in packs:
            for row in pack.rows:
                if names[row] not in finished:
                    held = apart(forward.chain(pack, row))
                    flying.admit(names[row], *held, self._tokens[names[row]][-1])
        return finished

    def _is_finished(self, row: int, token: int, *, is_first: bool) -> bool:
        """Take in a row's newest token and say whether it is the last one."""
        tokens = [] if is_first else self._tokens[row]
        tokens.append(token)
        self._tokens[row] = tokens
        if token == NOT_A_NUMBER or self._ends(row, token, tokens):
            self._ended.add(row)
            return True
        return len(tokens) == self._batch[row].request.max_new_tokens


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
