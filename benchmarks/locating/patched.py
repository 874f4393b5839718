"""Puts a fault into one layer of a model, and other orders of computation into all of it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from copy import deepcopy
from dataclasses import replace
from typing import Any

from modeltest.demo.faults.applying import PATCHES
from modeltest.demo.faults.catalogue import catalogue
from modeltest.demo.faults.kinds import ends, positions, rotary
from modeltest.demo.faults.parts.anatomy import Anatomy
from modeltest.demo.faults.parts.patching import on_arguments, run_instead

_OF_SEVERAL_LAYERS = frozenset(
    {"layer_skipped", "last_layer_skipped", "layers_swapped", "layer_loaded_twice"}
)
_OUTSIDE = frozenset({*ends.PATCHES, *positions.PATCHES, "final_norm_epsilon", "final_norm_weight_lost"})


def faults_of_a_layer(parts: Anatomy) -> list[str]:
    """Return the faults of the catalogue that one layer of the model can have alone, sorted."""
    known = catalogue().faults
    return sorted(
        name
        for name in PATCHES
        if name in known and name not in _OUTSIDE | _OF_SEVERAL_LAYERS and PATCHES[name].needs(parts)
    )


def put_in(undo: ExitStack, parts: Anatomy, name: str, strength: float, layer: int) -> None:
    """Put a fault into one layer: into a part of the anatomy, or into the angles it is given."""
    alone = replace(parts, layers=(parts.layers[layer],))
    if name not in rotary.PATCHES or name in ("rope_pairing", "rope_query_ahead"):
        PATCHES[name].apply(undo, alone, strength)
        return
    own = deepcopy(parts.rotaries[0])
    PATCHES[name].apply(undo, replace(alone, rotaries=(own,)), strength)
    on_arguments(undo, parts.layers[layer].module.self_attn, _with_angles(own))


def compute_otherwise(undo: ExitStack, parts: Anatomy) -> None:
    """Let matrices and norms compute in float32, from the last product to the first, and round once."""
    import torch

    def matrix(module: Any) -> Callable[[Any], Any]:
        def forward(states: Any) -> Any:
            made = states.float().flip(-1) @ module.weight.float().flip(-1).T
            made = made if module.bias is None else made + module.bias.float()
            return made.to(states.dtype)

        return forward

    def norm(module: Any) -> Callable[[Any], Any]:
        def forward(states: Any) -> Any:
            wide = states.float()
            size = (wide.square().mean(-1, keepdim=True) + module.variance_epsilon).rsqrt()
            return (wide * size * module.weight.float()).to(states.dtype)

        return forward

    for layer in parts.layers:
        for module in layer.module.modules():
            if isinstance(module, torch.nn.Linear):
                run_instead(undo, module, matrix(module))
    for module in (*parts.norms, parts.final_norm):
        run_instead(undo, module, norm(module))


def _with_angles(own: Any) -> Callable[[tuple[Any, ...], dict[str, Any]], Any]:
    def change(given: tuple[Any, ...], named: dict[str, Any]) -> Any:
        import torch

        hidden = named["hidden_states"] if "hidden_states" in named else given[0]
        places = torch.arange(hidden.shape[1])[None]
        return given, {**named, "position_embeddings": own(hidden, places)}

    return change
