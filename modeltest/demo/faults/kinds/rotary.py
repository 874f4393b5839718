"""Faults of rotary positions: other frequencies, other pairs, coarser angles."""

from __future__ import annotations

import math
from collections.abc import Mapping
from contextlib import ExitStack
from typing import Any

from modeltest.demo.faults.parts.anatomy import Anatomy
from modeltest.demo.faults.parts.patch import Patch, has_rotary
from modeltest.demo.faults.parts.patching import Change, on_output, run_instead, set_value
from modeltest.demo.faults.parts.rounding import to_bits

_LONG_WAVE_TOKENS = 2048
"""Waves longer than this are stretched by the scaling that Llama 3.1 came with."""


def _each_frequency(undo: ExitStack, parts: Anatomy, change: Change) -> None:
    for rotary in parts.rotaries:
        set_value(undo, rotary, "inv_freq", change(rotary.inv_freq))


def _base(undo: ExitStack, parts: Anatomy, strength: float) -> None:
    import torch

    def other(frequencies: Any) -> Any:
        places = torch.arange(len(frequencies), device=frequencies.device) / len(frequencies)
        return frequencies * strength**-places

    _each_frequency(undo, parts, other)


def _frequencies(undo: ExitStack, parts: Anatomy, strength: float) -> None:
    _each_frequency(undo, parts, lambda frequencies: frequencies * strength)


def _slowest(frequencies: Any, share: float, factor: float) -> Any:
    """Return the frequencies with a share of them, the slowest, times `factor`."""
    count = max(1, round(share * len(frequencies)))
    after = frequencies.clone()
    after[len(frequencies) - count :] *= factor
    return after


def _direction(undo: ExitStack, parts: Anatomy, strength: float) -> None:
    _each_frequency(undo, parts, lambda frequencies: _slowest(frequencies, strength, -1.0))


def _partial(undo: ExitStack, parts: Anatomy, strength: float) -> None:
    _each_frequency(undo, parts, lambda frequencies: _slowest(frequencies, strength, 0.0))


def _long_scaling(undo: ExitStack, parts: Anatomy, strength: float) -> None:
    import torch

    def stretched(frequencies: Any) -> Any:
        return torch.where(_is_long(frequencies), frequencies / strength, frequencies)

    _each_frequency(undo, parts, stretched)


def _is_long(frequencies: Any) -> Any:
    return 2 * math.pi / frequencies > _LONG_WAVE_TOKENS


def _has_long_waves(parts: Anatomy) -> bool:
    return has_rotary(parts) and any(bool(_is_long(rotary.inv_freq).any()) for rotary in parts.rotaries)


def _half_precision(undo: ExitStack, parts: Anatomy, strength: float) -> None:
    import torch

    def of(rotary: Any) -> Any:
        def forward(hidden: Any, position_ids: Any, *_: Any, **__: Any) -> Any:
            positions = to_bits(position_ids[..., None].float(), strength)
            angles = to_bits(positions * to_bits(rotary.inv_freq.float(), strength), strength)
            angles = torch.cat((angles, angles), dim=-1)
            scaled = (each * rotary.attention_scaling for each in (angles.cos(), angles.sin()))
            return tuple(each.to(hidden.dtype) for each in scaled)

        return forward

    for rotary in parts.rotaries:
        run_instead(undo, rotary, of(rotary))


def _pairing(undo: ExitStack, parts: Anatomy, strength: float) -> None:
    """Turning neighbours as pairs is turning halves of channels that were sorted so that neighbours are."""
    import torch

    turned = 2 * len(parts.rotaries[0].inv_freq)
    order = torch.arange(turned).view(-1, 2).T.reshape(-1)

    def sorted_channels(states: Any) -> Any:
        return torch.cat([states[..., order.to(states.device)], states[..., turned:]], dim=-1)

    count = max(1, round(strength * len(parts.attentions)))
    for attention in parts.attentions[:count]:
        attention.queries.on_heads(undo, sorted_channels)
        attention.keys.on_heads(undo, sorted_channels)


def _query_ahead(undo: ExitStack, parts: Anatomy, strength: float) -> None:
    """A query at position p + n is one at p that is turned by n positions more."""
    import torch

    angles = parts.rotaries[0].inv_freq.float() * strength
    cosines, sines, half = angles.cos(), angles.sin(), len(angles)

    def turned(states: Any) -> Any:
        first, second = states[..., :half].float(), states[..., half : 2 * half].float()
        pair = torch.cat((first * cosines - second * sines, second * cosines + first * sines), dim=-1)
        return torch.cat((pair.to(states.dtype), states[..., 2 * half :]), dim=-1)

    for attention in parts.attentions:
        query_norm = getattr(attention.module, "q_norm", None)
        if query_norm is None:
            attention.queries.on_heads(undo, turned)
        else:
            on_output(undo, query_norm, turned)


PATCHES: Mapping[str, Patch] = {
    "rope_base": Patch(_base, has_rotary),
    "rope_frequencies": Patch(_frequencies, has_rotary),
    "rope_pairing": Patch(_pairing, has_rotary),
    "rope_direction": Patch(_direction, has_rotary),
    "rope_partial": Patch(_partial, has_rotary),
    "rope_long_scaling": Patch(_long_scaling, _has_long_waves),
    "rope_half_precision": Patch(_half_precision, has_rotary),
    "rope_query_ahead": Patch(_query_ahead, has_rotary),
}
