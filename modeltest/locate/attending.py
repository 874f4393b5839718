"""The function with which a model of transformers attends, and what another scale would change."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from modeltest.locate.parts import layers_of

SCALE = "scale of the scores"
"""The change by a scale that is twice as large, as far as it is proportional."""

_STEP = 1 / 64
"""Small enough to be proportional, large enough to be far above the rounding of float32."""


def attention_functions(model: Any) -> Iterator[tuple[dict[str, Any], str, Any]]:
    """Yield where the functions that `model` attends with are found: a mapping, a name in it, the function.

    Nothing for a model that computes its attention by itself, and for an old transformers.
    """
    try:
        from transformers import AttentionInterface
    except ImportError:
        return
    name = getattr(model.config, "_attn_implementation", None)
    mapping: dict[str, Any] = AttentionInterface._global_mapping
    if isinstance(name, str) and name in mapping:
        yield mapping, name, mapping[name]
        return
    for module in sorted({type(each).__module__ for each in layers_of(model)}):
        namespace = vars(sys.modules[module])
        if "eager_attention_forward" in namespace:
            yield namespace, "eager_attention_forward", namespace["eager_attention_forward"]


def rescaled(
    attend: Callable[..., Any], given: Sequence[Any], named: Mapping[str, Any], output: Any
) -> Mapping[str, Callable[[], Any]]:
    """Return the change of `output`, which `attend` returned for `given` and `named`, by another scale."""

    def change() -> Any:
        scale = named.get("scaling") or given[1].shape[-1] ** -0.5
        return (attend(*given, **{**named, "scaling": scale * (1 + _STEP)})[0] - output) / _STEP

    return {SCALE: change}
