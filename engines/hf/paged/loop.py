"""Feeding rows through a paged cache: which rows run together, and what is read of their steps."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Any

from engines.common.device import synchronize
from engines.common.text_config import layer_count
from engines.hf.model.forward import NOT_A_NUMBER, greedy
from engines.hf.packed.last_layer import LastLayer
from engines.hf.packed.logits import LogitsAt
from engines.hf.packed.tree_forward import UnsupportedAttention, refuse_unknown
from engines.hf.paged.continuous_batching import ContinuousBatching, Room, StepRow
from engines.hf.paged.sequence_attention import attend_rows

LOOK_AHEAD = 4
"""So many waiting rows for each row in flight are searched for one that waits for no other row's prefix."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A row to feed, and how many new tokens are wanted after it, greedily.

    `ends` is asked after each new token whether the row is done; `None`: never before the last.
    """

    ids: tuple[int, ...]
    read_from: int
    """The first position whose logits are wanted; the last position where they are not kept."""

    new_tokens: int = 1
    keeps_logits: bool = False
    records_times: bool = True
    ends: Callable[[int, list[int]], bool] | None = None
    follows: tuple[int, ...] = ()
    """New tokens to feed in place of the model's own (teacher forcing), where the logits at them are
    wanted."""

    @property
    def fed_tokens(self) -> int:
        """All tokens that pass through the model, shared or not."""
        return len(self.ids) + self.new_tokens - 1


@dataclass(frozen=True, slots=True)
class Answered:
    """A finished row, by its place among those asked. Times count from the submission of the first row."""

    row: int
    tokens: tuple[int, ...] = ()
    times_ns: tuple[int, ...] = ()
    end_ns: int = 0
    """When its last token was there."""

    ended: bool = False
    logits: Any = None
    """`[positions read, vocabulary]`, or `None` where they are not kept."""

    error: str | None = None
    """Why the row could not be fed; it has nothing else then."""


@dataclass(slots=True)
class _Flight:
    """A row that is being fed."""

    asked: Asked
    kept: list[Any] = field(default_factory=list)
    has_begun: bool = False
    is_fed: bool = False
    ended: bool = False


class PagedLoop:
    """Feeds rows to one model through a paged cache.

    From the first `open` to `close` the model has an attention that only works in here.
    """

    def __init__(self, model: Any, device: str, *, block_tokens: int, seed: int = 0) -> None:
        from transformers import AttentionInterface

        self.model = model
        self._device = device
        self._block_tokens = block_tokens
        self._seed = seed
        self._name = f"modeltest_paged_{id(self):x}"
        self._attention_before = model.config._attn_implementation
        self._batching: ContinuousBatching | None = None
        self._flying: dict[int, _Flight] = {}
        self._logits = LogitsAt(model)
        self._last_layer = LastLayer(model)
        self._last_layer_index = (layer_count(model.config) or 0) - 1
        self._read: Any = None
        self.forward_s = 0.0
        self.forward_calls = 0
        self.computed_tokens = 0
        self.reused_tokens = 0
        AttentionInterface.register(self._name, self._attention)

    @property
    def flying(self) -> tuple[int, ...]:
        """The rows in flight, by their place among those asked."""
        return tuple(self._flying)

    @property
    def cache_bytes(self) -> int:
        """The size of the cache; 0 when there is none."""
        return 0 if self._batching is None else self._batching.cache_bytes

    def open(self, room: Room, dtype: Any = None) -> None:
        """Make a cache that holds `room`, or keep the one there is; timed rows find it empty.

        `dtype` is that of the keys, where the model computes in another one than its own.
        """
        if self._batching is None or self._flying or not self._batching.room.holds(room):
            self.drop()
            self.model.set_attn_implementation(self._name)
            self._batching = ContinuousBatching(
                self.model, room, block_tokens=self._block_tokens, seed=self._seed, dtype=dtype
            )
        elif room.is_timed:
            self._batching.reset()

    def drop(self) -> None:
        """Free the cache and forget the rows in flight."""
        self._flying.clear()
        if self._batching is not None:
            self._batching.close()
        self._batching = None

    def close(self) -> None:
        """Free the cache and give the model its own attention back."""
        self.drop()
        self.model.set_attn_implementation(self._attention_before)

    def run(self, rows: Sequence[Asked]) -> Iterator[list[Answered]]:
        """Yield the answers of each step in which a row is finished; every row once.

        As many rows as there is room for are in flight; the next is taken in when one is done. A row whose
        prefix is being computed by another waits for it.
        """
        batching = self._require()
        begin_s = time.perf_counter()
        waiting = deque(enumerate(rows))
        while waiting or self._flying:
            self._submit(batching, waiting)
            step = batching.prepare()
            batching.advance(self._feed(batching, step))
            now_s = time.perf_counter()
            finished = [row.row for row in step if row.gives_token and self._is_finished(batching, row.row)]
            if finished:
                yield [self._take_out(batching, row, begin_s, now_s) for row in finished]

    def _submit(self, batching: ContinuousBatching, waiting: deque[tuple[int, Asked]]) -> None:
        flying, rows = self._flying, batching.room.rows
        begun = (flight.asked for flight in flying.values() if not flight.is_fed)
        computing = {batching.first_unknown(asked.ids, asked.read_from) for asked in begun}
        held: list[tuple[int, Asked]] = []
        while waiting and len(flying) < rows and len(held) < LOOK_AHEAD * rows:
            row, asked = waiting.popleft()
            unknown = batching.first_unknown(asked.ids, asked.read_from)
            if unknown is not None and unknown in computing:
                held.append((row, asked))
                continue
            computing.add(unknown)
            flying[row] = _Flight(asked)
            batching.submit(
                row,
                asked.ids,
                shareable=asked.read_from,
                new_tokens=asked.new_tokens,
                records_times=asked.records_times,
            )
        waiting.extendleft(reversed(held))

    def _is_finished(self, batching: ContinuousBatching, row: int) -> bool:
        flight = self._flying[row]
        tokens, ends = batching.new_tokens(row), flight.asked.ends
        flight.ended = tokens[-1] == NOT_A_NUMBER or (ends is not None and ends(tokens[-1], tokens))
        return flight.ended or len(tokens) == flight.asked.new_tokens

    def _take_out(self, batching: ContinuousBatching, row: int, begin_s: float, now_s: float) -> Answered:
        import torch

        flight = self._flying.pop(row)
        answered = Answered(
            row,
            tuple(batching.new_tokens(row)),
            tuple(round((moment - begin_s) * 1e9) for moment in batching.times_s(row)),
            round((now_s - begin_s) * 1e9),
            flight.ended,
            torch.cat(flight.kept) if flight.kept else None,
        )
        batching.end(row)
        return answered

    def _feed(self, batching: ContinuousBatching, step: Sequence[StepRow]) -> Any:
        """Run the model on a step, keep the logits that are wanted and return the rows' new tokens."""
        import torch

        counts = [self._wanted(row) for row in step]
        ends = list(accumulate(row.tokens for row in step))
        positions = [at for end, count in zip(ends, counts, strict=True) for at in range(end - count, end)]
        with torch.inference_mode():
            begin = time.perf_counter()
            logits = self._call(batching, positions)
            last = [at - 1 for row, at in zip(step, accumulate(counts), strict=True) if row.gives_token]
            newest = greedy(logits if len(last) == len(logits) else logits[last])
            newest = self._following(batching, step, newest)
            synchronize(self._device)
            self.forward_s += time.perf_counter() - begin
        for row, part in zip(step, logits.split(counts), strict=True):
            flight = self._flying[row.row]
            if flight.asked.keeps_logits and len(part):
                flight.kept.append(part)
            self.reused_tokens += 0 if flight.has_begun else row.start
            flight.has_begun, flight.is_fed = True, row.gives_token
        self.forward_calls += 1
        self.computed_tokens += ends[-1]
        return newest

    def _following(self, batching: ContinuousBatching, step: Sequence[StepRow], newest: Any) -> Any:
        """Return the new tokens with those of rows that follow given ones in their places."""
        for place, row in enumerate(row.row for row in step if row.gives_token):
            given = self._flying[row].asked.follows
            if given and (count := len(batching.new_tokens(row))) < len(given):
                newest[place] = given[count]
        return newest

    def _wanted(self, row: StepRow) -> int:
        """Return how many of the last positions of a step's row are read."""
        asked = self._flying[row.row].asked
        if not asked.keeps_logits:
            return int(row.gives_token)
        return min(row.tokens, max(row.start + row.tokens - asked.read_from, 0))

    def _call(self, batching: ContinuousBatching, positions: Sequence[int]) -> Any:
        import torch

        ids = batching.input_ids
        if positions and len(positions) < ids.numel() and not batching.room.is_timed:
            self._read = torch.tensor(positions, device=self._device)
        try:
            return self._logits(positions, input_ids=ids, position_ids=batching.position_ids, use_cache=False)
        finally:
            self._last_layer.end()
            self._read = None

    def _attention(
        self, module: Any, query: Any, key: Any, value: Any, attention_mask: Any, **options: Any
    ) -> tuple[Any, None]:
        """Write keys and values to the cache and attend `[1, heads, tokens, width]` row by row.

        Raises: UnsupportedAttention for options that change the scores, such as caps and sinks.
        """
        batching = self._require()
        layer = module.layer_idx
        window, scale = options.pop("sliding_window", None), options.pop("scaling", None)
        refuse_unknown(options, attention_mask)
        if batching.window(layer) not in (None, window):
            raise UnsupportedAttention(f"layer {layer} has no window of {batching.window(layer)} tokens")
        if self._read is not None and layer == self._last_layer_index:
            self._last_layer.begin(self._read, query.shape[2])
        key, value, lengths = batching.write_and_read(layer, key, value)
        scale = query.shape[-1] ** -0.5 if scale is None else scale
        return attend_rows(query, key, value, lengths, scale=scale, window=window), None

    def _require(self) -> ContinuousBatching:
        assert self._batching is not None
        return self._batching
