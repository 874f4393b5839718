"""Rows in flight: their prompts are fed, and every pass feeds further tokens of all of them.

Of each row only its own end lies here, beside that of the others: the prefixes it shares are read where they
are held, once for all rows below them. Rows end and begin at different times, so their ends are aligned on
the right: what a pass feeds of all rows stands in the same columns. A row may be fed tokens that turn out not
to be its own. Where a column holds nothing of a row, its position is `NOWHERE`, and no query attends to it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from engines.hf.packed.partial_attention import attend, attend_each, merge

LayerKeysValues = dict[int, tuple[Any, Any]]
"""Keys and values `[1, heads, tokens, width]` of consecutive tokens of a row by layer."""

NOWHERE = 1 << 40
"""A position behind every other."""

SHORT_PREFIX_TOKENS = 64
"""A shorter prefix in front of a row's own end is copied to it: to read it apart would take longer."""

_SPARE_COLUMNS = 128
"""Columns made beyond those needed when there is no room for what is fed next."""


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
    """A row in flight. `own` tokens of it lie here, from column `begin` on; `prefixes` come before them."""

    name: int
    prefixes: tuple[Held, ...]
    begin: int
    own: int
    next_position: int
    last_position: int

    def fed(self, count: int) -> range:
        """Return the positions of the next `count` tokens, of which some may be beyond the last."""
        return range(self.next_position, self.next_position + count)


@dataclass(frozen=True, slots=True)
class _Look:
    """Neighbouring rows that attend to one prefix; `mask` `[queries, tokens]` is true where a query may."""

    rows: slice
    prefix: LayerKeysValues
    mask: Any
    """`None`: every query attends to every token."""


@dataclass(slots=True)
class _Looks:
    """What rows attend to in layers of one kind: own columns, by the bias added to scores, and prefixes."""

    own: Any
    prefixes: list[_Look] = field(default_factory=list)


def apart(chain: Sequence[Held]) -> tuple[Sequence[Held], Sequence[Held]]:
    """Split what is held of a row into prefixes to read where they are held and the rest, to be copied."""
    own = len(chain) - 1
    while own and chain[own - 1].tokens < SHORT_PREFIX_TOKENS:
        own -= 1
    return chain[:own], chain[own:]


class RowsInFlight:
    """At most `room` rows. A pass is `give`, `prepare`, `attend` in every layer, `keep`."""

    def __init__(self, room: int, device: str) -> None:
        self._room = room
        self._device = device
        self._flying: list[_Flying] = []
        self._layers: dict[int, tuple[Any, Any]] = {}
        self._positions: Any = None
        """`[room, columns]`: which position of a row lies in which column."""

        self._columns = 0
        self._end = 0
        """The first column of what is fed next."""

        self.given: list[Sequence[int]] = []
        """What each row is fed next."""

        self._looks: dict[tuple[int | None, int, Any], _Looks] = {}

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
        """The tokens that the next pass is fed, those of one row behind those of another."""
        return [token for tokens in self.given for token in tokens]

    @property
    def positions(self) -> list[int]:
        """Their positions in the rows.

        No row goes beyond its last one, be it by a guess: what a model computes of all tokens may depend on
        the farthest position it is fed, as with dynamic NTK.
        """
        return [min(at, row.last_position) for row in self._flying for at in row.fed(self._fed)]

    @property
    def _fed(self) -> int:
        """How many tokens of each row a pass is fed."""
        return len(self.given[0])

    @property
    def _begin(self) -> int:
        """The first column that a row has anything in."""
        return min(row.begin for row in self._flying)

    def admit(self, name: int, prefixes: Sequence[Held], own: Sequence[Held], *, last_position: int) -> None:
        """Take in a row whose tokens so far are `prefixes`, then `own`; none is fed behind `last_position`.

        What is its own is copied, prefixes are kept alive and read where they are.
        """
        import torch

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
        own_positions = torch.arange(position - tokens, position, device=self._device)
        self._positions[place, self._end - tokens : self._end] = own_positions
        begin = self._end - tokens
        self._flying.append(_Flying(name, tuple(prefixes), begin, tokens, position, last_position))

    def give(self, tokens: Sequence[Sequence[int]]) -> None:
        """Say which tokens each row is fed next, equally many of all."""
        self.given = list(tokens)

    def prepare(self) -> None:
        """Get ready for a pass that feeds what was given."""
        self._looks.clear()
        if not self._flying:
            return
        if self._end + self._fed > self._columns:
            self._relayout(0)
        self._set_positions([self._fed] * len(self))

    def keep(self, counts: Sequence[int]) -> None:
        """Of what each row was fed let the first of `counts` be its own, and forget the others."""
        if min(counts) < self._fed:
            self._set_positions(counts)
        for row, count in zip(self._flying, counts, strict=True):
            row.own, row.next_position = row.own + count, row.next_position + count
        self._end += self._fed

    def _set_positions(self, counts: Sequence[int]) -> None:
        """Show of what is fed of each row the first of `counts` where they stand, and hide the others."""
        import torch

        positions = [
            [at if place < count and at <= row.last_position else NOWHERE for place, at in enumerate(fed)]
            for row, count in zip(self._flying, counts, strict=True)
            for fed in (row.fed(self._fed),)
        ]
        columns = slice(self._end, self._end + self._fed)
        self._positions[: len(self), columns] = torch.tensor(positions, device=self._device)

    def take_out(self, name: int) -> None:
        """Remove a row; the last one takes its place."""
        place = self.names.index(name)
        last = self._flying.pop()
        vacant = len(self._flying)
        if place != vacant:
            self._flying[place] = last
            self._positions[place] = self._positions[vacant]
        self._positions[vacant] = NOWHERE
        for states in self._layers.values():
            for each in states:
                if place != vacant:
                    each[place, :, : self._end] = each[vacant, :, : self._end]
                # Masked columns have weight 0 but are multiplied all the same: NaN left by this row would
                # become NaN of the row that takes its place.
                each[vacant, :, : self._end] = 0

    def attend(
        self, layer: int, query: Any, key: Any, value: Any, *, scale: float, window: int | None
    ) -> Any:
        """Return `[1, fed, heads, width]` for queries `[1, heads, fed, width]` of what the pass is fed.

        `key` and `value` `[1, key heads, fed, width]` are written beside those before them.
        """
        rows, fed, key_heads = len(self), self._fed, key.shape[1]
        columns = slice(self._end, self._end + fed)
        for known, new in zip(self._layers[layer], (key, value), strict=True):
            known[:rows, :, columns] = new[0].unflatten(1, (rows, fed)).transpose(0, 1)
        # [rows, key heads, heads of a key x fed, width]: heads that share a key stand in for further queries,
        # so that a key is read once for all of them.
        grouped = query[0].unflatten(0, (key_heads, -1)).unflatten(2, (rows, fed))
        groups = grouped.shape[1]
        grouped = grouped.permute(2, 0, 1, 3, 4).flatten(2, 3)
        own = (states[:rows, :, self._begin : columns.stop] for states in self._layers[layer])
        looks = self._looks_of(window, groups, query.dtype)
        output, log_sum_exp = attend_each(grouped, *own, scale=scale, bias=looks.own)
        if looks.prefixes:
            output = output.float()
        for look in looks.prefixes:
            part = self._attend_prefix(grouped[look.rows], look, layer, scale)
            merge(output[look.rows], log_sum_exp[look.rows], *part)
        by_token = output.unflatten(2, (groups, fed)).permute(0, 3, 1, 2, 4)
        return by_token.flatten(2, 3).flatten(0, 1).to(query.dtype).unsqueeze(0)

    def _attend_prefix(self, grouped: Any, look: _Look, layer: int, scale: float) -> tuple[Any, Any]:
        """Attend with queries `[rows, key heads, queries, width]` to a prefix, all of them in one call."""
        queries = grouped.shape[2]
        together = grouped.transpose(0, 1).flatten(1, 2).unsqueeze(0)
        found = attend(together, *look.prefix[layer], scale=scale, mask=look.mask)
        output, log_sum_exp = (each[0].unflatten(1, (-1, queries)).transpose(0, 1) for each in found)
        return output, log_sum_exp

    def _looks_of(self, window: int | None, groups: int, dtype: Any) -> _Looks:
        """Return what rows attend to in layers with `window` and so many heads a key; made once a pass."""
        kind = (window, groups, dtype)
        if kind not in self._looks:
            bias = _for_groups(self._own_bias(window), groups)[:, None].to(dtype)
            self._looks[kind] = _Looks(bias, list(self._prefix_looks(window, groups)))
        return self._looks[kind]

    def _own_bias(self, window: int | None) -> Any:
        """Return what is added to scores `[rows, fed, columns]`: -inf where a token may not attend."""
        import torch

        there = self._positions[: len(self), self._begin : self._end + self._fed][:, None]
        own = torch.tensor(self.positions, device=self._device).view(len(self), self._fed, 1)
        hidden = there > own
        if window is not None:
            hidden |= there <= own - window
        bias = torch.zeros(hidden.shape, device=self._device)
        return bias.masked_fill_(hidden, float("-inf"))

    def _prefix_looks(self, window: int | None, groups: int) -> Iterator[_Look]:
        import torch

        for prefix, rows in self._rows_by_prefix():
            start, end = prefix.start, prefix.start + prefix.tokens
            positions = [
                [min(at, row.last_position) for at in row.fed(self._fed)] for row in self._flying[rows]
            ]
            if window is None or max(row[-1] for row in positions) - start < window:
                yield _Look(rows, prefix.keys_values, None)
            elif min(row[0] for row in positions) - (end - 1) < window:
                distance = torch.tensor(positions)[:, :, None] - torch.arange(start, end)
                mask = _for_groups(distance < window, groups).flatten(0, 1)
                yield _Look(rows, prefix.keys_values, mask.to(self._device))

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
        import torch

        if not self._flying:
            if tokens >= self._columns:
                self._columns = tokens + _SPARE_COLUMNS
                self._layers = {layer: self._empty(states) for layer, states in like.items()}
                self._positions = torch.full((self._room, self._columns), NOWHERE, device=self._device)
            self._end = tokens
        elif tokens > self._end:
            self._relayout(tokens)

    def _relayout(self, width: int) -> None:
        """Move all rows together, so that `width` columns or more lie on the left of what is fed next."""
        import torch

        width = max(width, *(row.own for row in self._flying))
        where = [
            (self._positions[place, : self._end] < NOWHERE).nonzero()[:, 0] for place in range(len(self))
        ]
        is_wider = width + _SPARE_COLUMNS > self._columns
        if is_wider:
            self._columns = width + _SPARE_COLUMNS
        positions = torch.full((self._room, self._columns), NOWHERE, device=self._device)
        for place, own in enumerate(where):
            positions[place, width - len(own) : width] = self._positions[place, own]
        for layer, states in self._layers.items():
            moved = self._empty(states) if is_wider else states
            for old, new in zip(states, moved, strict=True):
                for place, own in enumerate(where):
                    new[place, :, width - len(own) : width] = old[place][:, own]
            self._layers[layer] = moved
        for row in self._flying:
            row.begin = width - row.own
        self._positions, self._end = positions, width

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


def _for_groups(by_token: Any, groups: int) -> Any:
    """Return `[rows, fed, keys]` as `[rows, groups x fed, keys]`: every group attends to the same keys."""
    rows, fed, keys = by_token.shape
    return by_token[:, None].expand(rows, groups, fed, keys).flatten(1, 2)


def _at_depth(row: _Flying, depth: int) -> Held | None:
    return row.prefixes[depth] if depth < len(row.prefixes) else None


def _is_same(one: Held | None, other: Held | None) -> bool:
    """Say whether both are the same prefix: a row is told of it by an object of its own."""
    if one is None or other is None:
        return one is other
    return one.keys_values is other.keys_values
