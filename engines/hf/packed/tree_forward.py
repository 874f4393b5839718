"""Feeding a pack of tree segments in one forward pass: every unique token once, no padding.

The segments lie one behind another in a single row of ids. All of a model but its attention treats tokens
one by one, given their positions; the attention function below lets each segment look at itself and at its
ancestors only. Keys and values that later packs need are taken out of it.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from engines.common.device import synchronize
from engines.common.text_config import layer_count
from engines.common.token_rows import Row
from engines.hf.packed.last_layer import LastLayer
from engines.hf.packed.logits import LogitsAt
from engines.hf.packed.partial_attention import Accumulator, attend
from engines.hf.packed.prefix_planning import Pack
from engines.hf.packed.rows_in_flight import Held, LayerKeysValues, RowsInFlight

_IGNORED = frozenset(
    {
        "dropout",
        "position_ids",
        "is_causal",
        "use_cache",
        "cache_position",
        "output_attentions",
        "output_hidden_states",
        "output_router_logits",
    }
)
"""Arguments of an attention function that mean nothing here; any other one must be `None`."""


class UnsupportedAttention(Exception):
    """The model asks its attention for something that cannot be computed in parts."""


@dataclass(frozen=True, slots=True)
class _Look:
    """The queries `at` attend to all keys of one node, in their pack (`place`) or held of an earlier one."""

    node: int
    place: slice | None
    at: slice


@dataclass(slots=True)
class _Layout:
    """Where everything in a pass lies."""

    places: dict[int, slice] = field(default_factory=dict)
    starts: dict[int, int] = field(default_factory=dict)
    looks: list[_Look] = field(default_factory=list)


class TreeForward:
    """Feeds packs to one model, holding the keys and values of shared prefixes between them."""

    def __init__(self, model: Any, device: str) -> None:
        from transformers import AttentionInterface

        self._model = model
        self._device = device
        self._name = f"modeltest_tree_{id(self):x}"
        self._layout = _Layout()
        self._keep: frozenset[int] = frozenset()
        self._held: dict[int, LayerKeysValues] = {}
        self._needed: frozenset[int] = frozenset()
        self._parents: dict[int, int | None] = {}
        self._node_starts: dict[int, int] = {}
        self._logits = LogitsAt(model)
        self._last_layer = LastLayer(model)
        self._last_layer_index = (layer_count(model.config) or 0) - 1
        self._read: Any = None
        self._flying: RowsInFlight | None = None
        self.forward_s = 0.0
        self.forward_calls = 0
        AttentionInterface.register(self._name, self._attention)

    def feed(self, pack: Pack, rows: Sequence[Row]) -> dict[int, Any]:
        """Feed `pack` and return logits `[positions read, vocabulary]` by row index."""
        return self.feed_at_once((pack,), rows)

    def feed_at_once(self, packs: Sequence[Pack], rows: Sequence[Row]) -> dict[int, Any]:
        """Feed `packs` in one pass as if one after the other; return what `feed` returns of them.

        What a pack builds on from an earlier one is looked up where it is held, layer by layer.
        """
        return self._pass(packs, rows, None, keep_rows=False)[0]

    def feed_beside(
        self, packs: Sequence[Pack], rows: Sequence[Row], flying: RowsInFlight, *, keep_rows: bool = True
    ) -> tuple[dict[int, Any], Any]:
        """Feed `packs` and what the rows in flight are given in one pass; there may be none of either.

        Return what `feed` returns of the packs, and logits `[tokens in flight, vocabulary]`. With `keep_rows`
        the rows' own keys and values are held too, for `chain`, until the next packs are fed.
        """
        return self._pass(packs, rows, flying, keep_rows=keep_rows)

    def _pass(
        self,
        packs: Sequence[Pack],
        rows: Sequence[Row],
        flying: RowsInFlight | None,
        *,
        keep_rows: bool,
    ) -> tuple[dict[int, Any], Any]:
        import torch

        # What the last pass held for `chain` is no longer needed.
        self._drop_all_but(self._needed)
        self._prepare(packs, keep_rows=keep_rows)
        segments = [segment for pack in packs for segment in pack.segments]
        ids = [token for segment in segments for token in segment.ids]
        positions = [
            position
            for segment in segments
            for position in range(segment.start, segment.start + len(segment.ids))
        ]
        places = self._layout.places
        ended = [row for pack in packs for row in pack.rows]
        ends = [places[segment.node].stop for segment in segments if segment.row is not None]
        counts = [len(rows[row].ids) - rows[row].read_from for row in ended]
        read = [at for end, count in zip(ends, counts, strict=True) for at in range(end - count, end)]
        if flying is not None:
            flying.prepare()
            read += range(len(ids), len(ids) + len(flying.ids))
            ids, positions = ids + flying.ids, positions + flying.positions
            counts.append(len(flying.ids))
        self._flying = flying
        self._read = torch.tensor(read or [0], device=self._device) if len(read) < len(ids) else None
        with torch.inference_mode(), self.as_attention():
            begin = time.perf_counter()
            try:
                logits = self._logits(
                    read,
                    input_ids=torch.tensor([ids], device=self._device),
                    position_ids=torch.tensor([positions], device=self._device),
                    use_cache=False,
                )
            finally:
                self._last_layer.end()
            synchronize(self._device)
            self.forward_s += time.perf_counter() - begin
            self.forward_calls += 1
        if packs:
            self._needed = packs[-1].keep
        if not keep_rows:
            self._drop_all_but(self._needed)
        parts = logits.split(counts) if counts else ()
        beside = parts[len(ended)] if flying is not None else None
        return dict(zip(ended, parts, strict=False)), beside

    def chain(self, pack: Pack, row: int) -> list[Held]:
        """Return all that is held of `row`, fed in `pack` with `keep_rows`; what comes first is first."""
        node: int | None = next(segment.node for segment in pack.segments if segment.row == row)
        chain = []
        while node is not None:
            chain.append(Held(self._node_starts[node], self._held[node]))
            node = self._parents[node]
        return chain[::-1]

    def reset(self) -> None:
        """Forget every prefix."""
        self._held.clear()
        self._needed = frozenset()

    def _prepare(self, packs: Sequence[Pack], *, keep_rows: bool) -> None:
        layout = _Layout()
        below: dict[tuple[int, bool], list[slice]] = {}
        begin = 0
        for pack in packs:
            own = {segment.node for segment in pack.segments}
            for segment in pack.segments:
                place = slice(begin, begin + len(segment.ids))
                layout.places[segment.node], layout.starts[segment.node] = place, segment.start
                self._parents[segment.node], self._node_starts[segment.node] = segment.parent, segment.start
                node = segment.parent
                while node is not None:
                    below.setdefault((node, node in own), []).append(place)
                    node = self._parents[node]
                begin = place.stop
        layout.looks = [
            _Look(node, layout.places[node] if is_own else None, at)
            for (node, is_own), places in below.items()
            for at in _joined(places)
        ]
        self._layout = layout
        self._keep = frozenset().union(*(pack.keep for pack in packs))
        if keep_rows:
            self._keep |= {node for node, _ in below}
            self._keep |= {
                segment.node for pack in packs for segment in pack.segments if segment.row is not None
            }

    def _drop_all_but(self, nodes: frozenset[int]) -> None:
        self._held = {node: held for node, held in self._held.items() if node in nodes}

    @contextmanager
    def as_attention(self) -> Iterator[None]:
        """Let the model use the attention below, for one pass or for many; nothing else may feed it then.

        Setting the attention of a model takes milliseconds: many passes of a few tokens do it once.
        """
        before = self._model.config._attn_implementation
        if before == self._name:
            yield
            return
        self._model.set_attn_implementation(self._name)
        try:
            yield
        finally:
            self._model.set_attn_implementation(before)

    def _attention(
        self,
        module: Any,
        query: Any,
        key: Any,
        value: Any,
        attention_mask: Any,
        **options: Any,
    ) -> tuple[Any, None]:
        """Attend `[1, heads, tokens, width]` by segments; return `[1, tokens, heads, width]`.

        Raises: UnsupportedAttention for options that change the scores, such as caps and sinks.
        """
        import torch

        if self._read is not None and module.layer_idx == self._last_layer_index:
            self._last_layer.begin(self._read, query.shape[2])
        window = options.pop("sliding_window", None)
        scale = options.pop("scaling", None)
        scale = query.shape[-1] ** -0.5 if scale is None else scale
        refuse_unknown(options, attention_mask)
        flying = self._flying
        if not flying:
            return self._attend_packs(module.layer_idx, query, key, value, scale=scale, window=window), None
        end = query.shape[2] - len(flying.ids)
        newest = (each[:, :, end:] for each in (query, key, value))
        beside = flying.attend(module.layer_idx, *newest, scale=scale, window=window)
        if not end:
            return beside, None
        fed = (each[:, :, :end] for each in (query, key, value))
        packs = self._attend_packs(module.layer_idx, *fed, scale=scale, window=window)
        return torch.cat([packs, beside], dim=1), None

    def _attend_packs(
        self, layer: int, query: Any, key: Any, value: Any, *, scale: float, window: int | None
    ) -> Any:
        """Attend `[1, heads, tokens, width]` by segments; return `[1, tokens, heads, width]`."""
        import torch

        self._hold(layer, key, value)
        own = self._own_parts(query, key, value, scale=scale, window=window)
        if not self._layout.looks:
            # Straight into the layout the model wants: packs without shared prefixes are the common case.
            return torch.cat([output.transpose(1, 2) for _, (output, _) in own], dim=1)
        merged = Accumulator.empty(query, value.shape[-1])
        for at, part in own:
            merged.add(at, *part, is_first=True)
        for look in self._layout.looks:
            keys, values = self._keys_values_of(look, layer, key, value)
            mask = self._look_mask(window, look, keys.shape[2], key.device)
            part = attend(query[:, :, look.at], keys, values, scale=scale, mask=mask)
            merged.add(look.at, *part, is_first=False)
        return merged.output.transpose(1, 2).to(query.dtype).contiguous()

    def _own_parts(
        self, query: Any, key: Any, value: Any, *, scale: float, window: int | None
    ) -> Iterator[tuple[slice, Any]]:
        """Yield each segment's attention over itself."""
        for at in self._layout.places.values():
            mask = self._window_mask(window, at, key.device)
            mine = (each[:, :, at] for each in (query, key, value))
            yield at, attend(*mine, scale=scale, mask=mask, causal=True)

    def _hold(self, layer: int, key: Any, value: Any) -> None:
        for node, place in self._layout.places.items():
            if node in self._keep:
                # Copies: a view would keep the keys and values of the whole pack alive.
                held = (key[:, :, place].clone(), value[:, :, place].clone())
                self._held.setdefault(node, {})[layer] = held

    def _keys_values_of(self, look: _Look, layer: int, key: Any, value: Any) -> tuple[Any, Any]:
        if look.place is not None:
            return key[:, :, look.place], value[:, :, look.place]
        return self._held[look.node][layer]

    def _window_mask(self, window: int | None, at: slice, device: Any) -> Any:
        if window is None or at.stop - at.start <= window:
            return None
        positions = self._positions(at, device)
        return positions[:, None] - positions[None, :] < window

    def _look_mask(self, window: int | None, look: _Look, keys: int, device: Any) -> Any:
        """Return which keys of a node the queries reach through a sliding window, or `None` for all."""
        import torch

        if window is None:
            return None
        positions = self._positions(look.at, device)
        start = self._node_starts[look.node]
        key_positions = torch.arange(start, start + keys, device=device)
        mask = positions[:, None] - key_positions[None, :] < window
        return None if bool(mask.all()) else mask

    def _positions(self, at: slice, device: Any) -> Any:
        import torch

        parts = [
            torch.arange(start := self._layout.starts[node], start + place.stop - place.start, device=device)
            for node, place in self._layout.places.items()
            if at.start <= place.start and place.stop <= at.stop
        ]
        return torch.cat(parts)


def _joined(places: Sequence[slice]) -> Iterator[slice]:
    """Yield neighbouring slices as one: their queries attend to a node in one call."""
    begin, end = places[0].start, places[0].stop
    for place in places[1:]:
        if place.start != end:
            yield slice(begin, end)
            begin = place.start
        end = place.stop
    yield slice(begin, end)


def refuse_unknown(options: Mapping[str, Any], attention_mask: Any) -> None:
    """Accept arguments that have no effect on attention over rows without padding.

    Raises: UnsupportedAttention for anything else.
    """
    unknown = [name for name, value in options.items() if value is not None and name not in _IGNORED]
    if unknown or attention_mask is not None:
        raise UnsupportedAttention(f"attention takes {', '.join(unknown) or 'a mask'}")
