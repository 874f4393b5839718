"""Attention of rows that lie one behind another in a step, each over its own keys only.

The attention that comes with transformers' continuous batching scores every query with the keys of every row
and masks what is not its own. Here neither work nor memory of a row grows with the other rows.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(slots=True)
class RowLengths:
    """How many queries and keys each row has in a step; the last query looks at the last key."""

    queries: tuple[int, ...]
    keys: tuple[int, ...]
    _masks: dict[int | None, Any] = field(default_factory=dict)

    @property
    def is_decoding(self) -> bool:
        """Whether every row has exactly one query; its keys are then padded on the left to `longest`."""
        return all(count == 1 for count in self.queries)

    @property
    def is_even(self) -> bool:
        """Whether all rows have the same lengths."""
        return len(set(self.queries)) == 1 and len(set(self.keys)) == 1

    @property
    def longest(self) -> int:
        """The most keys of a row."""
        return max(self.keys)

    def decoding_mask(self, window: int | None, device: Any) -> Any:
        """Return which padded keys each row looks at, `[rows, 1, 1, longest]`, or `None` for all.

        Made once a step: every layer of one kind asks for the same.
        """
        if window not in self._masks:
            self._masks[window] = self._decoding_mask(window, device)
        return self._masks[window]

    def _decoding_mask(self, window: int | None, device: Any) -> Any:
        import torch

        seen = [count if window is None else min(count, window) for count in self.keys]
        if min(seen) == self.longest:
            return None
        from_right = torch.arange(self.longest, 0, -1, device=device)
        return (from_right <= torch.tensor(seen, device=device)[:, None])[:, None, None, :]


def left_padded(indices: Any, lengths: RowLengths, filler: int) -> Any:
    """Return `indices` `[keys of all rows]` with every row filled up on the left to the longest."""
    import torch

    device = indices.device
    counts = torch.tensor(lengths.keys, device=device)[:, None]
    from_right = torch.arange(lengths.longest, 0, -1, device=device)
    places = (counts.cumsum(0) - from_right).clamp(min=0)
    return torch.where(from_right <= counts, indices[places], filler).flatten()


def attend_rows(
    query: Any, key: Any, value: Any, lengths: RowLengths, *, scale: float, window: int | None
) -> Any:
    """Return `[1, tokens, heads, width]` for queries `[1, heads, tokens, width]` and the keys of all rows.

    `key` and `value`, `[1, key heads, keys, width]`, hold the keys of one row behind those of another, padded
    where all rows decode. A query looks at keys up to its own position, at no more than `window` of them.
    """
    import torch

    rows = len(lengths.queries)
    if lengths.is_decoding:
        mask = lengths.decoding_mask(window, query.device)
        return _together(_decode(*_apart(rows, query, key, value), scale=scale, mask=mask))
    if lengths.is_even:
        return _together(_attend(*_apart(rows, query, key, value), scale=scale, window=window))
    parts = []
    query_end = key_end = 0
    for queries, keys in zip(lengths.queries, lengths.keys, strict=True):
        query_end, key_end = query_end + queries, key_end + keys
        own = (each[:, :, key_end - keys : key_end] for each in (key, value))
        part = _attend(query[:, :, query_end - queries : query_end], *own, scale=scale, window=window)
        parts.append(part.transpose(1, 2))
    return torch.cat(parts, dim=1)


def _apart(rows: int, *states: Any) -> list[Any]:
    """Return each of `[1, heads, rows * tokens, width]` as `[rows, heads, tokens, width]`."""
    return [each[0].unflatten(1, (rows, -1)).transpose(0, 1) for each in states]


def _together(output: Any) -> Any:
    """Return `[1, rows * tokens, heads, width]` of `[rows, heads, tokens, width]`."""
    return output.transpose(1, 2).flatten(0, 1).unsqueeze(0)


def _decode(query: Any, key: Any, value: Any, *, scale: float, mask: Any) -> Any:
    """Attend with one query a row; heads that share a key stand in for further queries."""
    import torch

    rows, heads, _, width = query.shape
    grouped = query.reshape(rows, key.shape[1], heads // key.shape[1], width)
    attend = torch.nn.functional.scaled_dot_product_attention
    return attend(grouped, key, value, attn_mask=mask, scale=scale).reshape(rows, heads, 1, -1)


def _attend(query: Any, key: Any, value: Any, *, scale: float, window: int | None) -> Any:
    import torch

    queries, keys = query.shape[2], key.shape[2]
    groups = query.shape[1] // key.shape[1]
    if groups > 1:
        key, value = (each.repeat_interleave(groups, dim=1) for each in (key, value))
    is_plain = queries == keys and (window is None or keys <= window)
    mask = None if is_plain else _mask(queries, keys, window, query.device)
    attend = torch.nn.functional.scaled_dot_product_attention
    return attend(query, key, value, attn_mask=mask, is_causal=is_plain, scale=scale)


def _mask(queries: int, keys: int, window: int | None, device: Any) -> Any:
    """Return `[queries, keys]`, true where a query may attend."""
    import torch

    own = torch.arange(keys - queries, keys, device=device)[:, None]
    distance = own - torch.arange(keys, device=device)
    return distance >= 0 if window is None else (distance >= 0) & (distance < window)
