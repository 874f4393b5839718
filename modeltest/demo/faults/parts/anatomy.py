"""Where the parts of a causal language model of transformers are, found by what its modules have.

No family is asked for by name: a projection is one because it is called as projections are in the published
checkpoints, a norm because it has one weight a channel. What is not found is `None`, and faults of it do not
apply.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from enum import Enum
from typing import Any

from modeltest.demo.faults.parts.patching import Change, on_output

_ATTENTIONS = ("self_attn", "attn", "attention")
_FEED_FORWARDS = ("mlp", "feed_forward")
_OUTPUTS = ("o_proj", "c_proj", "dense")
_UPS = ("up_proj", "c_fc", "dense_h_to_4h")
_DOWNS = ("down_proj", "c_proj", "dense_4h_to_h")
_ACTIVATIONS = ("act_fn", "act")
_WIDTHS = ("head_dim", "head_size")
_ROUTERS = ("gate", "router")


class Layout(Enum):
    """How queries, keys and values lie in the output of the matrix that makes them."""

    APART = "one matrix each"
    THIRDS = "all queries, all keys, all values"
    BY_HEAD = "query, key and value of each head"


@dataclass(frozen=True, slots=True)
class Projection:
    """The matrix that makes the queries, the keys or the values, alone or among them."""

    module: Any
    layout: Layout
    place: int
    """0 of queries, 1 of keys, 2 of values."""

    width: int

    def heads(self, output: Any) -> Any:
        """Return the own part of what the matrix makes, a view `[..., heads, width]`; also of its bias."""
        if self.layout is Layout.APART:
            return output.unflatten(-1, (-1, self.width))
        if self.layout is Layout.THIRDS:
            return output.unflatten(-1, (3, -1, self.width))[..., self.place, :, :]
        return output.unflatten(-1, (-1, 3, self.width))[..., self.place, :]

    def on_heads(self, undo: ExitStack, change: Change) -> None:
        """Change what is made, `[..., tokens, heads, width]`."""

        def changed(output: Any) -> Any:
            after = output.clone()
            own = self.heads(after)
            own.copy_(change(self.heads(output)))
            return after

        on_output(undo, self.module, changed)


@dataclass(frozen=True, slots=True)
class Attention:
    """The attention of a layer."""

    module: Any
    queries: Projection
    keys: Projection
    values: Projection
    output: Any
    heads: int
    key_heads: int
    width: int

    @property
    def projections(self) -> tuple[Projection, Projection, Projection]:
        """Queries, keys, values."""
        return self.queries, self.keys, self.values


@dataclass(frozen=True, slots=True)
class FeedForward:
    """The feed-forward part of a layer; `gate` is `None` where nothing is gated."""

    module: Any
    up: Any
    down: Any
    gate: Any
    activation: Any


@dataclass(frozen=True, slots=True)
class Experts:
    """The mixture of experts of a layer."""

    module: Any
    router: Any


@dataclass(frozen=True, slots=True)
class Layer:
    """A decoder layer."""

    module: Any
    attention: Attention | None
    feed_forward: FeedForward | None
    experts: Experts | None
    norms: tuple[Any, ...]
    """Those of the layer itself, none of the attention's."""


@dataclass(frozen=True, slots=True)
class Anatomy:
    """The parts of a model."""

    model: Any
    layers: tuple[Layer, ...]
    embedding: Any
    head: Any
    final_norm: Any
    rotaries: tuple[Any, ...]
    """What computes rotary positions, with a buffer `inv_freq`."""

    position_table: Any
    """Learned positions, or `None`."""

    @property
    def is_tied(self) -> bool:
        """Whether the head is the embedding."""
        return self.head is not None and self.head.weight is self.embedding.weight

    @property
    def attentions(self) -> tuple[Attention, ...]:
        """Those of all layers; none where one layer's is not known."""
        found = tuple(layer.attention for layer in self.layers if layer.attention is not None)
        return found if len(found) == len(self.layers) else ()

    @property
    def feed_forwards(self) -> tuple[FeedForward, ...]:
        """Those of all layers; none where one layer's is not known."""
        found = tuple(layer.feed_forward for layer in self.layers if layer.feed_forward is not None)
        return found if len(found) == len(self.layers) else ()

    @property
    def mixtures(self) -> tuple[Experts, ...]:
        """Of the layers that have experts."""
        return tuple(layer.experts for layer in self.layers if layer.experts is not None)

    @property
    def norms(self) -> tuple[Any, ...]:
        """The norms of the layers, first to last."""
        return tuple(norm for layer in self.layers for norm in layer.norms)


def anatomy_of(model: Any) -> Anatomy:
    """Return the parts of a causal language model of transformers.

    Raises: ValueError where no list of decoder layers is found.
    """
    import torch

    config = _text_config(model.config)
    modules = list(model.modules())
    stack = next(
        (
            each
            for each in modules
            if isinstance(each, torch.nn.ModuleList) and len(each) == config.num_hidden_layers
        ),
        None,
    )
    if stack is None:
        raise ValueError(f"{type(model).__name__} has no list of decoder layers")
    embedding = model.get_input_embeddings()
    in_layers = {id(each) for each in stack.modules()}
    outer_norms = [each for each in modules if id(each) not in in_layers and is_norm(each)]
    return Anatomy(
        model=model,
        layers=tuple(_layer(each, config) for each in stack),
        embedding=embedding,
        head=model.get_output_embeddings(),
        final_norm=outer_norms[-1] if outer_norms else None,
        rotaries=tuple(each for each in modules if "inv_freq" in dict(each.named_buffers(recurse=False))),
        position_table=_position_table(modules, embedding, config),
    )


def some(parts: tuple[Any, ...], share: float) -> tuple[Any, ...]:
    """Return a share of `parts`, at least one, evenly spread; all for 1."""
    count = min(len(parts), max(1, round(share * len(parts))))
    return tuple(parts[int((index + 0.5) * len(parts) / count)] for index in range(count))


def is_norm(module: Any) -> bool:
    """Say whether `module` is a norm: of such a class, with a weight a channel."""
    weight = getattr(module, "weight", None)
    return "Norm" in type(module).__name__ and weight is not None and weight.ndim == 1


def _text_config(config: Any) -> Any:
    return config.get_text_config() if hasattr(config, "get_text_config") else config


def _first(owner: Any, names: tuple[str, ...]) -> Any:
    return next((getattr(owner, name) for name in names if getattr(owner, name, None) is not None), None)


def _layer(module: Any, config: Any) -> Layer:
    attention = _first(module, _ATTENTIONS)
    inner = _first(module, _FEED_FORWARDS)
    return Layer(
        module=module,
        attention=None if attention is None else _attention(attention, config),
        feed_forward=None if inner is None else _feed_forward(inner),
        experts=None if inner is None else _experts(inner),
        norms=tuple(each for each in module.children() if is_norm(each)),
    )


def _attention(module: Any, config: Any) -> Attention | None:
    width, output = _first(module, _WIDTHS), _first(module, _OUTPUTS)
    projections = tuple(_projections(module, width)) if width else ()
    if output is None or len(projections) != len(("queries", "keys", "values")):
        return None
    queries, keys, values = projections
    heads = config.num_attention_heads
    is_apart = keys.layout is Layout.APART
    key_heads = keys.module.weight.shape[0] // width if is_apart else heads
    return Attention(module, queries, keys, values, output, heads=heads, key_heads=key_heads, width=width)


def _projections(module: Any, width: int) -> Iterator[Projection]:
    apart = [getattr(module, name, None) for name in ("q_proj", "k_proj", "v_proj")]
    if all(each is not None for each in apart):
        yield from (Projection(each, Layout.APART, place, width) for place, each in enumerate(apart))
        return
    for name, layout in (("c_attn", Layout.THIRDS), ("query_key_value", Layout.BY_HEAD)):
        if (fused := getattr(module, name, None)) is not None:
            yield from (Projection(fused, layout, place, width) for place in range(3))
            return


def _feed_forward(module: Any) -> FeedForward | None:
    up, down, activation = (_first(module, names) for names in (_UPS, _DOWNS, _ACTIVATIONS))
    if up is None or down is None or activation is None:
        return None
    return FeedForward(module, up, down, getattr(module, "gate_proj", None), activation)


def _experts(module: Any) -> Experts | None:
    experts, router = getattr(module, "experts", None), _first(module, _ROUTERS)
    if getattr(experts, "down_proj", None) is None or getattr(router, "top_k", None) is None:
        return None
    return Experts(experts, router)


def _position_table(modules: list[Any], embedding: Any, config: Any) -> Any:
    import torch

    return next(
        (
            each
            for each in modules
            if isinstance(each, torch.nn.Embedding)
            and each is not embedding
            and each.num_embeddings == config.max_position_embeddings
        ),
        None,
    )
