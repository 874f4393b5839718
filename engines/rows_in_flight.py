"""Rows whose prompts are fed, and that get one token more with every pass.

Of each row only its own end lies here, beside that of the others: the prefixes it shares are read where they
are held, once for all rows below them. Rows end and begin at different times, so their ends are aligned on
the right: the newest tokens of all rows stand in one column, and what a row does not have on the left is
masked.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from engines.partial_attention import attend, attend_each, merge

LayerKeysValues = dict[int, tuple[Any, Any]]
"""Keys and values `[1, heads, tokens, width]` of consecutive tokens of a row by layer."""

SHORT_PREFIX_TOKENS = 64
"""A shorter prefix in front of a row's own end is copied to it: to read it apart would take longer."""

_SPARE_COLUMNS = 128
"""Columns made beyond those needed when there is no room for another token."""


@dataclass(frozen=True, slots=True)
class Held:
    """Consecutive tokens of a row, from position `start` on, whose keys and values are held."""

    start: int
    keys_values: LayerKeysValues

    @property
    def tokens(self) -> int:
        """How many they are."""
        return int(next(iter(self.keys_values.values()))[0].shape[2])


@dataclass(slots=True)
class _Flying:
    """A row in flight. `begin` is the column of the first token of its own; `prefixes` come before it."""

    name: int
    prefixes: tuple[Held, ...]
    begin: int
    next_position: int
    newest: int


@dataclass(frozen=True, slots=True)
class _Look:
    """Rows side by side that look at one prefix. `mask` `[rows, tokens]`: which look where; `None`: all."""

    rows: slice
    prefix: LayerKeysValues
    mask: Any


@dataclass(slots=True)
class _Looks:
    """What rows look at in layers with one window; `own` is added to the scores of their own columns."""

    own: Any
    prefixes: list[_Look] = field(default_factory=list)


def apart(chain: Sequence[Held]) -> tuple[Sequence[Held], Sequence[Held]]:
    """Return of all that is held of a row what it had better share and what had better be its own."""
    own = len(chain) - 1
    while own and chain[own - 1].tokens < SHORT_PREFIX_TOKENS:
        own -= 1
    return chain[:own], chain[own:]


class RowsInFlight:
    """At most `room` rows. Between `feed` of one pass and `land` of the next its rows stay the same."""

    def __init__(self, room: int, device: str) -> None:
        self._room = room
        self._device = device
        self._flying: list[_Flying] = []
        self._layers: dict[int, tuple[Any, Any]] = {}
        self._columns = 0
        self._end = 0
        """The column of the token that is fed next."""

        self._looks: dict[int | None, _Looks] = {}

    def __len__(self) -> int:
        return len(self._flying)

    @property
    def free(self) -> int:
        """How many more rows there is room for."""
        return self._room - len(self._flying)

    @property
    def names(self) -> list[int]:
        """The rows in flight, in the order in which they are fed."""
        return [row.name for row in self._flying]

    @property
    def ids(self) -> list[int]:
        """The newest token of each row, which the next pass is fed."""
        return [row.newest for row in self._flying]

    @property
    def positions(self) -> list[int]:
        """Their positions in the rows."""
        return [row.next_position for row in self._flying]

    def admit(self, name: int, prefixes: Sequence[Held], own: Sequence[Held], newest: int) -> None:
        """Take in a row whose next token is `newest`; those before are `prefixes`, then `own`.

        What is its own is copied, prefixes are kept alive and read where they are.
        """
        tokens = sum(part.tokens for part in own)
        self._make_room(tokens, own[-1].keys_values)
        place, begin = len(self._flying), self._end - tokens
        for part in own:
            columns = slice(begin, begin + part.tokens)
            for layer, states in part.keys_values.items():
                for known, new in zip(self._layers[layer], states, strict=True):
                    known[place, :, columns] = new[0]
            begin = columns.stop
        position = own[-1].start + own[-1].tokens
        self._flying.append(_Flying(name, tuple(prefixes), self._end - tokens, position, newest))

    def advance(self, newest: Sequence[int]) -> None:
        """Count in what a pass was fed; `newest` are the tokens that the next one is."""
        for row, token in zip(self._flying, newest, strict=True):
            row.newest, row.next_position = token, row.next_position + 1
        self._end += 1

    def take_out(self, name: int) -> None:
        """Let a row go; the last one takes its place."""
        place = self.names.index(name)
        last = self._flying.pop()
        vacant = len(self._flying)
        if place != vacant:
            self._flying[place] = last
        for states in self._layers.values():
            for each in states:
                if place != vacant:
                    each[place, :, : self._end] = each[vacant, :, : self._end]
                # What is masked is computed with all the same, and there NaN of a row that ended by it
                # would be NaN of whoever comes next.
                each[vacant, :, : self._end] = 0

    def clear(self) -> None:
        """Let all rows go."""
        self._flying.clear()
        self._layers.clear()
        self._columns = self._end = 0

    def prepare(self) -> None:
        """Get ready for a pass that feeds one token of each row."""
        if self._flying and self._end == self._columns:
            self._relayout(self._end - self._begin)
        self._looks.clear()

    def attend(
        self, layer: int, query: Any, key: Any, value: Any, *, scale: float, window: int | None
    ) -> Any:
        """Return `[1, rows, heads, width]` for queries `[1, heads, rows, width]`, one of each row.

        `key` and `value` `[1, key heads, rows, width]` are written beside those before them.
        """
        rows, key_heads = len(self._flying), key.shape[1]
        for known, new in zip(self._layers[layer], (key, value), strict=True):
            known[:rows, :, self._end] = new[0].transpose(0, 1)
        looks = self._looks_within(window, query.dtype)
        # Heads that share a key stand in for further queries: a key is read once for all of them.
        grouped = query[0].unflatten(0, (key_heads, -1)).permute(2, 0, 1, 3)
        columns = slice(self._begin, self._end + 1)
        own = (states[:rows, :, columns] for states in self._layers[layer])
        output, log_sum_exp = attend_each(grouped, *own, scale=scale, bias=looks.own)
        if looks.prefixes:
            output = output.float()
        for look in looks.prefixes:
            part = self._attend_prefix(grouped[look.rows], look, layer, scale)
            merge(output[look.rows], log_sum_exp[look.rows], *part)
        return output.flatten(1, 2).to(query.dtype).unsqueeze(0)

    @property
    def _begin(self) -> int:
        """The first column that a row has anything in."""
        return min(row.begin for row in self._flying)

    def _attend_prefix(self, grouped: Any, look: _Look, layer: int, scale: float) -> tuple[Any, Any]:
        """Let queries `[rows, key heads, queries, width]` look at a prefix, all of them together."""
        queries = grouped.shape[2]
        together = grouped.transpose(0, 1).flatten(1, 2).unsqueeze(0)
        mask = None if look.mask is None else look.mask.repeat_interleave(queries, dim=0)
        found = attend(together, *look.prefix[layer], scale=scale, mask=mask)
        output, log_sum_exp = (each[0].unflatten(1, (-1, queries)).transpose(0, 1) for each in found)
        return output, log_sum_exp

    def _looks_within(self, window: int | None, dtype: Any) -> _Looks:
        """Return what rows look at through `window`; made once a pass for all layers that have it."""
        if window not in self._looks:
            self._looks[window] = _Looks(self._own_bias(window, dtype), list(self._prefix_looks(window)))
        return self._looks[window]

    def _own_bias(self, window: int | None, dtype: Any) -> Any:
        """Return `[rows, 1, 1, columns]`, -inf where a row has nothing or may not look; `None`: nowhere."""
        import torch

        reach = 0 if window is None else self._end + 1 - window
        firsts = [max(row.begin, reach) for row in self._flying]
        if max(firsts) <= self._begin:
            return None
        columns = torch.arange(self._begin, self._end + 1, device=self._device)
        hidden = columns < torch.tensor(firsts, device=self._device)[:, None]
        bias = torch.zeros(hidden.shape, dtype=dtype, device=self._device)
        return bias.masked_fill_(hidden, float("-inf"))[:, None, None]

    def _prefix_looks(self, window: int | None) -> Iterator[_Look]:
        import torch

        for prefix, rows in self._rows_by_prefix():
            start, end = prefix.start, prefix.start + prefix.tokens
            positions = [row.next_position for row in self._flying[rows]]
            if window is None or max(positions) - start < window:
                yield _Look(rows, prefix.keys_values, None)
            elif min(positions) - (end - 1) < window:
                distance = torch.tensor(positions)[:, None] - torch.arange(start, end)
                yield _Look(rows, prefix.keys_values, (distance < window).to(self._device))

    def _rows_by_prefix(self) -> Iterator[tuple[Held, slice]]:
        """Yield each prefix with rows below it that are side by side."""
        deepest = max((len(row.prefixes) for row in self._flying), default=0)
        for depth in range(deepest):
            begin = 0
            while begin < len(self._flying):
                prefix = _at_depth(self._flying[begin], depth)
                end = begin + 1
                while end < len(self._flying) and _is_same(_at_depth(self._flying[end], depth), prefix):
                    end += 1
                if prefix is not None:
                    yield prefix, slice(begin, end)
                begin = end

    def _make_room(self, tokens: int, like: LayerKeysValues) -> None:
        """Make room for a row of `tokens` of its own on the left of the column that is fed next."""
        if not self._flying:
            if tokens >= self._columns:
                self._columns = tokens + _SPARE_COLUMNS
                self._layers = {layer: self._empty(states) for layer, states in like.items()}
            self._end = tokens
        elif tokens > self._end:
            self._relayout(max(self._end - self._begin, tokens))

    def _relayout(self, width: int) -> None:
        """Move all rows so that `width` columns lie on the left of the one that is fed next."""
        rows, before = len(self._flying), slice(self._begin, self._end)
        after = slice(width - (before.stop - before.start), width)
        is_wider = width + _SPARE_COLUMNS > self._columns
        if is_wider:
            self._columns = width + _SPARE_COLUMNS
        for layer, states in self._layers.items():
            moved = self._empty(states) if is_wider else states
            for old, new in zip(states, moved, strict=True):
                kept = old[:rows, :, before]
                new[:rows, :, after] = kept if is_wider else kept.clone()  # a copy: they may overlap
            self._layers[layer] = moved
        for row in self._flying:
            row.begin += width - self._end
        self._end = width

    def _empty(self, like: tuple[Any, Any]) -> tuple[Any, Any]:
        """Return room for keys and values `[rows, heads, columns, width]` as in `like`."""
        import torch

        keys, values = (
            torch.zeros(
                (self._room, each.shape[1], self._columns, each.shape[3]),
                dtype=each.dtype,
                device=each.device,
            )
            for each in like
        )
        return keys, values


def _at_depth(row: _Flying, depth: int) -> Held | None:
    return row.prefixes[depth] if depth < len(row.prefixes) else None


def _is_same(one: Held | None, other: Held | None) -> bool:
    """Say whether both are the same prefix: a row is told of it by an object of its own."""
    if one is None or other is None:
        return one is other
    return one.keys_values is other.keys_values
