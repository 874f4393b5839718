"""Texts at which an answer ends, some of which no text shows: special tokens are left out of it."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Sequence
from typing import Any


def stop_ids(tokenizer: Any, stops: Sequence[str]) -> frozenset[int]:
    """Return the special tokens among `stops`."""
    if not stops:
        return frozenset()
    added = tokenizer.added_tokens_decoder
    return frozenset(token for token, kind in added.items() if kind.special and str(kind) in stops)


def up_to_stop(
    ids: tuple[int, ...],
    stops: Sequence[str],
    special: frozenset[int],
    decode: Callable[[Sequence[int]], str],
) -> tuple[tuple[int, ...], bool]:
    """Return `ids` up to the first that completes one of `stops`, and whether one does."""

    def is_stopped(count: int) -> bool:
        text = decode(ids[:count])
        return any(stop in text for stop in stops)

    end = next((place + 1 for place, token in enumerate(ids) if token in special), None)
    if end is not None:
        ids = ids[:end]
    if not stops or not is_stopped(len(ids)):
        return ids, end is not None
    return ids[: 1 + bisect_left(range(1, len(ids)), True, key=is_stopped)], True


def cut_at(text: str, stops: Sequence[str]) -> str:
    """Return `text` up to the first of `stops`."""
    for stop in stops:
        text = text.split(stop, 1)[0]
    return text
