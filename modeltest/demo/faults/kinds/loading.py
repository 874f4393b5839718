"""Faults of loading: layers in the wrong place, shards of ranks swapped, lost or counted twice."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from typing import Any

from modeltest.demo.faults.parts.anatomy import Anatomy, Layer, some
from modeltest.demo.faults.parts.patch import Patch, adds_plainly, has_both
from modeltest.demo.faults.parts.patching import edit_matrix, edit_weight, put_weight


def _silence(undo: ExitStack, layers: tuple[Layer, ...]) -> None:
    """Let `layers` add nothing, which is to skip them, with keys that every cache still finds."""
    for layer in layers:
        assert layer.attention is not None
        assert layer.feed_forward is not None
        for module in (layer.attention.output, layer.feed_forward.down):
            for weight in (module.weight, module.bias):
                if weight is not None:
                    edit_weight(undo, weight, lambda values: values.zero_())


def _skipped(undo: ExitStack, parts: Anatomy, strength: float) -> None:
    _silence(undo, some(parts.layers[:-1], strength / (len(parts.layers) - 1)))


def _last_skipped(undo: ExitStack, parts: Anatomy, strength: float) -> None:
    _silence(undo, parts.layers[-int(strength) :])


def _copy(undo: ExitStack, into: Layer, of: Layer) -> None:
    data = {name: parameter.data for name, parameter in of.module.named_parameters()}
    for name, parameter in into.module.named_parameters():
        put_weight(undo, parameter, data[name])


def _loaded_twice(undo: ExitStack, parts: Anatomy, strength: float) -> None:
    """The last n layers have the weights of the one before each."""
    for place in range(len(parts.layers) - 1, max(len(parts.layers) - 1 - int(strength), 0), -1):
        _copy(undo, into=parts.layers[place], of=parts.layers[place - 1])


def _swapped(undo: ExitStack, parts: Anatomy, strength: float) -> None:
    """Swap n pairs of neighbours, from the middle on."""
    middle = (len(parts.layers) - 1) // 2
    for place in range(middle, min(middle + 2 * int(strength), len(parts.layers) - 1), 2):
        one, other = parts.layers[place : place + 2]
        weights = {name: each.data for name, each in one.module.named_parameters()}
        _copy(undo, into=one, of=other)
        for name, parameter in other.module.named_parameters():
            put_weight(undo, parameter, weights[name])


def _are_alike(parts: Anatomy) -> bool:
    shapes = [{name: each.shape for name, each in layer.module.named_parameters()} for layer in parts.layers]
    return has_both(parts) and len(shapes) > 1 and all(each == shapes[0] for each in shapes)


def _transposed(undo: ExitStack, parts: Anatomy, strength: float) -> None:
    for attention in some(parts.attentions, strength / len(parts.layers)):
        edit_weight(undo, attention.output.weight, lambda weight: weight.T)


def _is_square(parts: Anatomy) -> bool:
    return has_both(parts) and all(len(set(each.output.weight.shape)) == 1 for each in parts.attentions)


def _shard_swapped(undo: ExitStack, parts: Anatomy, strength: float) -> None:
    """Two ranks have each other's part of the matrix that closes the feed-forward."""

    def swap(matrix: Any) -> None:
        width = matrix.shape[0] // int(strength)
        first = matrix[:width].clone()
        matrix[:width] = matrix[width : 2 * width]
        matrix[width : 2 * width] = first

    for part in parts.feed_forwards:
        edit_matrix(undo, part.down, swap)


def _shard_lost(undo: ExitStack, parts: Anatomy, strength: float) -> None:
    """What one rank adds to the sum of all is not there."""

    def lose(matrix: Any) -> None:
        matrix[matrix.shape[0] - matrix.shape[0] // int(strength) :] = 0.0

    for part in parts.feed_forwards:
        edit_matrix(undo, part.down, lose)


def _bias_of_each_rank(undo: ExitStack, parts: Anatomy, strength: float) -> None:
    """Each rank adds the bias before the sum of all is made."""
    for attention, part in zip(parts.attentions, parts.feed_forwards, strict=True):
        for module in (attention.output, part.down):
            if module.bias is not None:
                edit_weight(undo, module.bias, lambda bias: bias * strength)


def _is_biased(parts: Anatomy) -> bool:
    return has_both(parts) and parts.feed_forwards[0].down.bias is not None


def _adds_what_it_computes(parts: Anatomy) -> bool:
    return has_both(parts) and adds_plainly(parts)


def _residual_scale(undo: ExitStack, parts: Anatomy, strength: float) -> None:
    for attention, part in zip(parts.attentions, parts.feed_forwards, strict=True):
        for module in (attention.output, part.down):
            for weight in (module.weight, module.bias):
                if weight is not None:
                    edit_weight(undo, weight, lambda values: values * strength)


PATCHES: Mapping[str, Patch] = {
    "layer_skipped": Patch(_skipped, has_both),
    "last_layer_skipped": Patch(_last_skipped, has_both),
    "layer_loaded_twice": Patch(_loaded_twice, _are_alike),
    "layers_swapped": Patch(_swapped, _are_alike),
    "matrix_transposed": Patch(_transposed, _is_square),
    "shard_swapped": Patch(_shard_swapped, has_both),
    "shard_lost": Patch(_shard_lost, has_both),
    "bias_of_each_rank": Patch(_bias_of_each_rank, _is_biased),
    "residual_scale": Patch(_residual_scale, _adds_what_it_computes),
}
