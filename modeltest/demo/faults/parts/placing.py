"""Which position each token of a pass has, whoever feeds it: padded, packed, paged or step by step."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

from modeltest.demo.faults.parts.anatomy import Anatomy
from modeltest.demo.faults.parts.patching import Change, on_arguments, on_input

_ROTARY_PLACE = 1
"""Of the positions among the arguments of what computes rotary positions."""


def on_positions(undo: ExitStack, parts: Anatomy, change: Change) -> None:
    """Change the positions `[rows or 1, tokens]` where they are used; masks are made of the right ones."""

    def of_rotary(given: tuple[Any, ...], named: dict[str, Any]) -> Any:
        if "position_ids" in named:
            return given, {**named, "position_ids": change(named["position_ids"])}
        before, after = given[:_ROTARY_PLACE], given[_ROTARY_PLACE + 1 :]
        return (*before, change(given[_ROTARY_PLACE]), *after), named

    for rotary in parts.rotaries:
        on_arguments(undo, rotary, of_rotary)
    if parts.position_table is not None:
        on_input(undo, parts.position_table, change)


class Watch:
    """Keeps the positions `[rows or 1, tokens]` of the pass that is under way."""

    def __init__(self, undo: ExitStack, parts: Anatomy) -> None:
        self.positions: Any = None
        on_positions(undo, parts, self._see)

    def _see(self, positions: Any) -> Any:
        self.positions = positions
        return positions


def on_tokens(undo: ExitStack, parts: Anatomy, change: Callable[[Any, Any], Any]) -> None:
    """Change the token ids a model is fed: `change` is given them and their positions."""

    def changed(given: tuple[Any, ...], named: dict[str, Any]) -> Any:
        ids = given[0] if given else named["input_ids"]
        after = change(ids, _positions(ids, named))
        return ((after, *given[1:]), named) if given else (given, {**named, "input_ids": after})

    on_arguments(undo, parts.model, changed)


def _positions(ids: Any, named: dict[str, Any]) -> Any:
    import torch

    if named.get("position_ids") is not None:
        return named["position_ids"]
    cache = named.get("past_key_values")
    begin = cache.get_seq_length() if cache is not None else 0
    return torch.arange(begin, begin + ids.shape[1], device=ids.device)[None]
