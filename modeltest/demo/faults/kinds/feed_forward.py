"""Faults of the feed-forward part: its activation, gate and biases, and what is added to the residual."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from typing import Any

from modeltest.demo.faults.parts.anatomy import Anatomy, some
from modeltest.demo.faults.parts.patch import Patch, has_feed_forward
from modeltest.demo.faults.parts.patching import edit_weight, on_output, put_weight, run_instead, set_value

_QUICK_SLOPE = 1.702
"""Of the sigmoid that stands for GELU's normal distribution in CLIP and other "quick" GELUs."""

_GELUS = ("erf", "tanh")
_DROPOUT_SEED = 0


def _functions() -> dict[str, Callable[[Any], Any]]:
    from torch.nn import functional

    return {
        "erf": functional.gelu,
        "tanh": lambda values: functional.gelu(values, approximate="tanh"),
        "silu": functional.silu,
        "quick": lambda values: values * (_QUICK_SLOPE * values).sigmoid(),
        "relu": functional.relu,
    }


def _activation_name(activation: Any) -> str | None:
    """Return which function an activation is, by what it computes."""
    import torch

    values = torch.linspace(-4, 4, 257, dtype=torch.float32)
    with torch.no_grad():
        made = activation(values)
    distances = {name: float((made - each(values)).abs().max()) for name, each in _functions().items()}
    name = min(distances, key=lambda each: distances[each])
    return name if distances[name] < 1e-5 else None


def _replace_activation(undo: ExitStack, parts: Anatomy, share: float, other: Mapping[str, str]) -> None:
    functions = _functions()
    for part in some(parts.feed_forwards, share):
        name = _activation_name(part.activation)
        if name is not None and name in other:
            run_instead(undo, part.activation, functions[other[name]])


def _gelu_variant(undo: ExitStack, parts: Anatomy, strength: float) -> None:
    _replace_activation(undo, parts, strength, {"erf": "tanh", "tanh": "erf"})


def _is_gelu(parts: Anatomy) -> bool:
    return has_feed_forward(parts) and _activation_name(parts.feed_forwards[0].activation) in _GELUS


def _wrong_activation(undo: ExitStack, parts: Anatomy, strength: float) -> None:
    _replace_activation(
        undo, parts, strength, {"erf": "quick", "tanh": "quick", "silu": "erf", "quick": "erf"}
    )


def _is_smooth(parts: Anatomy) -> bool:
    return has_feed_forward(parts) and _activation_name(parts.feed_forwards[0].activation) not in (
        None,
        "relu",
    )


def _gate_for_up(undo: ExitStack, parts: Anatomy, strength: float) -> None:
    for part in some(parts.feed_forwards, strength):
        gate, up = part.gate.weight, part.up.weight
        of_gate, of_up = gate.data, up.data
        put_weight(undo, gate, of_up)
        put_weight(undo, up, of_gate)


def _is_gated(parts: Anatomy) -> bool:
    return has_feed_forward(parts) and all(part.gate is not None for part in parts.feed_forwards)


def _no_bias(undo: ExitStack, parts: Anatomy, strength: float) -> None:
    for part in some(parts.feed_forwards, strength):
        for module in (part.up, part.down):
            edit_weight(undo, module.bias, lambda bias: bias.zero_())


def _is_biased(parts: Anatomy) -> bool:
    return has_feed_forward(parts) and parts.feed_forwards[0].down.bias is not None


def _other_residual(undo: ExitStack, parts: Anatomy, strength: float) -> None:
    for layer in some(parts.layers, strength):
        set_value(undo, layer.module, "use_parallel_residual", not layer.module.use_parallel_residual)


def _knows_parallel(parts: Anatomy) -> bool:
    return all(hasattr(layer.module, "use_parallel_residual") for layer in parts.layers)


def _dropout(undo: ExitStack, parts: Anatomy, strength: float) -> None:
    """Drop at random: equal passes give other answers, but all of them again after another application."""
    import torch

    draws = torch.Generator().manual_seed(_DROPOUT_SEED)

    def dropped(hidden: Any) -> Any:
        kept = torch.rand(hidden.shape, generator=draws).to(hidden.device) >= strength
        return hidden * kept / (1 - strength)

    for part in parts.feed_forwards:
        on_output(undo, part.module, dropped)


PATCHES: Mapping[str, Patch] = {
    "gelu_variant": Patch(_gelu_variant, _is_gelu),
    "wrong_activation": Patch(_wrong_activation, _is_smooth),
    "gate_for_up": Patch(_gate_for_up, _is_gated),
    "missing_feed_forward_bias": Patch(_no_bias, _is_biased),
    "parallel_residual": Patch(_other_residual, _knows_parallel),
    "dropout_left_on": Patch(_dropout, has_feed_forward),
}
