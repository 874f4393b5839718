"""Faults by which one part of a model is too large or too small by a factor.

They are smooth: 1 % too large does half of what 2 % does, in the same places. So a reference with one of them
shows where answers go when that part is wrong, and not only by this fault (`directions` of the catalogue).
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack

from modeltest.demo.faults.parts.anatomy import Anatomy
from modeltest.demo.faults.parts.patch import (
    Patch,
    adds_plainly,
    has_attention,
    has_both,
    has_feed_forward,
)
from modeltest.demo.faults.parts.patching import Change, on_input, on_output


def _times(factor: float) -> Change:
    return lambda states: states * factor


def _queries(undo: ExitStack, parts: Anatomy, strength: float) -> None:
    """Scale queries where they meet keys: behind their norm, which would undo it."""
    for attention in parts.attentions:
        norm = getattr(attention.module, "q_norm", None)
        if norm is None:
            attention.queries.on_heads(undo, _times(strength))
        else:
            on_output(undo, norm, _times(strength))


def _values(undo: ExitStack, parts: Anatomy, strength: float) -> None:
    for attention in parts.attentions:
        attention.values.on_heads(undo, _times(strength))


def _has_values(parts: Anatomy) -> bool:
    return has_attention(parts) and adds_plainly(parts)


def _feed_forward(undo: ExitStack, parts: Anatomy, strength: float) -> None:
    for part in parts.feed_forwards:
        on_output(undo, part.down, _times(strength))


def _adds_feed_forward(parts: Anatomy) -> bool:
    return has_feed_forward(parts) and adds_plainly(parts)


def _activation(undo: ExitStack, parts: Anatomy, strength: float) -> None:
    for part in parts.feed_forwards:
        on_input(undo, part.activation, _times(strength))


def _position_table(undo: ExitStack, parts: Anatomy, strength: float) -> None:
    on_output(undo, parts.position_table, _times(strength))


def _has_table(parts: Anatomy) -> bool:
    return parts.position_table is not None


def _layers(undo: ExitStack, parts: Anatomy, numbers: range, strength: float) -> None:
    for number in numbers:
        on_output(undo, parts.attentions[number].output, _times(strength))
        on_output(undo, parts.feed_forwards[number].down, _times(strength))


def _early_layers(undo: ExitStack, parts: Anatomy, strength: float) -> None:
    _layers(undo, parts, range(len(parts.layers) // 2), strength)


def _late_layers(undo: ExitStack, parts: Anatomy, strength: float) -> None:
    count = len(parts.layers)
    _layers(undo, parts, range(count // 2, count), strength)


def _has_halves(parts: Anatomy) -> bool:
    return has_both(parts) and adds_plainly(parts) and len(parts.layers) > 1


PATCHES: Mapping[str, Patch] = {
    "query_scale": Patch(_queries, has_attention),
    "value_scale": Patch(_values, _has_values),
    "feed_forward_scale": Patch(_feed_forward, _adds_feed_forward),
    "activation_scale": Patch(_activation, has_feed_forward),
    "position_table_scale": Patch(_position_table, _has_table),
    "early_layers_scale": Patch(_early_layers, _has_halves),
    "late_layers_scale": Patch(_late_layers, _has_halves),
}
