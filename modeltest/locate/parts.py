"""What is found of a model's modules: its layers, and what a norm would return with another epsilon."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

no_change: Mapping[str, Callable[[], Any]] = MappingProxyType({})

EPSILON = "epsilon"
"""The change of a norm by one more epsilon of its own."""

_EPSILONS = ("variance_epsilon", "eps", "epsilon")


def layers_of(model: Any) -> list[Any]:
    """Return the decoder layers, first to last.

    Raises: ValueError where none are found.
    """
    import torch

    config = model.config.get_text_config() if hasattr(model.config, "get_text_config") else model.config
    for each in model.modules():
        if isinstance(each, torch.nn.ModuleList) and len(each) == config.num_hidden_layers:
            return list(each)
    raise ValueError(f"{type(model).__name__} has no list of decoder layers")


def with_epsilon(norm: Any, given: tuple[Any, ...]) -> Mapping[str, Callable[[], Any]]:
    """Return the change of what `norm` returned for `given` by one more epsilon, where it has one."""
    name = next((each for each in _EPSILONS if isinstance(getattr(norm, each, None), float)), None)
    if name is None or not given:
        return no_change

    def change() -> Any:
        before = norm.forward(*given)
        epsilon = getattr(norm, name)
        setattr(norm, name, 2 * epsilon)
        try:
            return norm.forward(*given) - before
        finally:
            setattr(norm, name, epsilon)

    return {EPSILON: change}
