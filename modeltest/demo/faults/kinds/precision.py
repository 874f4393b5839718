"""Faults of numbers: too coarse, cut off, overflowing, accumulated in half precision."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from typing import Any

from modeltest.demo.faults.parts.anatomy import Anatomy, some
from modeltest.demo.faults.parts.patch import Patch, has_both
from modeltest.demo.faults.parts.patching import (
    edit_weight,
    is_stored_by_input,
    on_input,
    on_output,
    run_instead,
)
from modeltest.demo.faults.parts.rounding import to_bits, to_integers, truncated_to_bits

_SUM_COLUMNS = 64
"""So many products are summed exactly before a sum is rounded: a tile of a matrix unit."""

_INT8, _INT4 = 8, 4

_LOOKED_AT, _STRIDE = 64, 7919
"""So many token ids, this far apart, are fed to see how large activations get."""


def _matrices(parts: Anatomy) -> tuple[Any, ...]:
    """Return the matrices of the layers, each once."""
    found = {}
    for layer in parts.layers:
        of_attention = [each.module for each in layer.attention.projections] if layer.attention else []
        of_attention += [layer.attention.output] if layer.attention else []
        inner = layer.feed_forward
        of_inner = [inner.gate, inner.up, inner.down] if inner else []
        found.update({id(each): each for each in (*of_attention, *of_inner) if each is not None})
    return tuple(found.values())


def _each_matrix(undo: ExitStack, matrices: tuple[Any, ...], edit: Callable[[Any], Any]) -> None:
    for module in matrices:
        edit_weight(undo, module.weight, edit)


def _int8(undo: ExitStack, parts: Anatomy, strength: float) -> None:
    _each_matrix(undo, some(_matrices(parts), strength), lambda weight: to_integers(weight, _INT8))


def _int4(undo: ExitStack, parts: Anatomy, strength: float) -> None:
    _each_matrix(undo, some(_matrices(parts), strength), lambda weight: to_integers(weight, _INT4))


def _truncated(undo: ExitStack, parts: Anatomy, strength: float) -> None:
    _each_matrix(undo, _matrices(parts), lambda weight: truncated_to_bits(weight, strength))


def _flushed(undo: ExitStack, parts: Anatomy, strength: float) -> None:
    _each_matrix(undo, _matrices(parts), lambda weight: weight.masked_fill(weight.abs() < strength, 0.0))


def _activations_int8(undo: ExitStack, parts: Anatomy, strength: float) -> None:
    for module in _matrices(parts):
        on_input(undo, module, lambda states: to_integers(states, strength, dim=-1))


def _half_sums(undo: ExitStack, parts: Anatomy, strength: float) -> None:
    import torch

    def summing(module: Any) -> Callable[[Any], Any]:
        def forward(states: Any) -> Any:
            weight = module.weight if is_stored_by_input(module) else module.weight.T
            total = torch.zeros((), device=states.device)
            for begin in range(0, weight.shape[0], _SUM_COLUMNS):
                tile = slice(begin, begin + _SUM_COLUMNS)
                total = to_bits(total + states[..., tile].float() @ weight[tile].float(), strength)
            total = total if module.bias is None else total + module.bias.float()
            return total.to(states.dtype)

        return forward

    for part in parts.feed_forwards:
        run_instead(undo, part.down, summing(part.down))
    for attention in parts.attentions:
        run_instead(undo, attention.output, summing(attention.output))


def _coarse_residual(undo: ExitStack, parts: Anatomy, strength: float) -> None:
    for layer in parts.layers:
        on_output(undo, layer.module, lambda hidden: to_bits(hidden, strength))


def _clamped(undo: ExitStack, parts: Anatomy, strength: float) -> None:
    limit = strength * _largest_activation(parts)
    for layer in parts.layers:
        on_output(undo, layer.module, lambda hidden: hidden.clamp(-limit, limit))


def _zeroed(undo: ExitStack, parts: Anatomy, strength: float) -> None:
    """What is above the limit would be infinite, then NaN, and is masked to zero."""
    limit = strength * _largest_activation(parts)
    for layer in parts.layers:
        on_output(undo, layer.module, lambda hidden: hidden.masked_fill(hidden.abs() > limit, 0.0))


def _largest_activation(parts: Anatomy) -> float:
    """Return the largest number in the residual stream behind any layer, for fixed token ids."""
    import torch

    seen: list[float] = []

    def look(hidden: Any) -> Any:
        seen.append(float(hidden.abs().max()))
        return hidden

    with ExitStack() as looking, torch.inference_mode():
        for layer in parts.layers:
            on_output(looking, layer.module, look)
        ids = (torch.arange(1, _LOOKED_AT + 1) * _STRIDE) % parts.embedding.num_embeddings
        parts.model(input_ids=ids[None].to(parts.embedding.weight.device), use_cache=False)
    return max(seen)


PATCHES: Mapping[str, Patch] = {
    "weights_int8": Patch(_int8, has_both),
    "weights_int4": Patch(_int4, has_both),
    "weights_truncated": Patch(_truncated, has_both),
    "small_weights_flushed": Patch(_flushed, has_both),
    "activations_int8": Patch(_activations_int8, has_both),
    "sums_in_half": Patch(_half_sums, has_both),
    "residual_coarse": Patch(_coarse_residual, has_both),
    "overflow_clamped": Patch(_clamped, has_both),
    "nan_to_zero": Patch(_zeroed, has_both),
}
