"""Where a pass through a model is looked at, and which operation each place closes."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Part(str, Enum):
    """A kind of operation."""

    EMBEDDING = "embedding"
    POSITIONS = "positions"
    NORM = "norm"
    QUERIES = "attention: query projection"
    KEYS = "attention: key projection"
    VALUES = "attention: value projection"
    JOINT = "attention: joint projection of queries, keys and values"
    ROTARY = "attention: rotary"
    SCORES = "attention: scale, mask and softmax"
    ATTENDED = "attention: rotary, scale, mask and softmax"
    """Of a model whose attention is not called through transformers' interface."""

    HEADS = "attention: order of heads"
    """Between what attention returns, where that is seen, and the output projection."""

    OUTPUT = "attention: output projection"
    GATE = "feed-forward: gate projection"
    UP = "feed-forward: up projection"
    ACTIVATION = "feed-forward: activation"
    PRODUCT = "feed-forward: product of activation and up projection"
    DOWN = "feed-forward: down projection"
    EXPERTS = "feed-forward: experts"
    ROUTER = "feed-forward: router of experts"
    RESIDUAL = "residual"
    FINAL_NORM = "final norm"
    HEAD = "head"
    OTHER = "another operation"


@dataclass(frozen=True, slots=True)
class Station:
    """One place: the values that a module is given or returns."""

    name: str
    """The module's name, `in` or `out`, and which of several values or calls; unique in a pass."""

    layer: int | None
    """From 0; `None` before, between and behind the layers."""

    part: Part


_RETURNED = {
    **dict.fromkeys(("embed_tokens", "wte", "embed_in", "word_embeddings"), Part.EMBEDDING),
    **dict.fromkeys(("rotary_emb", "rotary_emb_local", "wpe", "embed_positions"), Part.POSITIONS),
    **dict.fromkeys(("q_proj", "wq"), Part.QUERIES),
    **dict.fromkeys(("k_proj", "wk"), Part.KEYS),
    **dict.fromkeys(("v_proj", "wv"), Part.VALUES),
    **dict.fromkeys(("c_attn", "query_key_value", "qkv_proj", "wqkv"), Part.JOINT),
    **dict.fromkeys(("o_proj", "wo"), Part.OUTPUT),
    **dict.fromkeys(("gate_proj", "w1"), Part.GATE),
    **dict.fromkeys(("up_proj", "c_fc", "dense_h_to_4h", "w3", "gate_up_proj"), Part.UP),
    **dict.fromkeys(("act_fn", "act"), Part.ACTIVATION),
    **dict.fromkeys(("down_proj", "dense_4h_to_h", "w2"), Part.DOWN),
    **dict.fromkeys(("gate", "router"), Part.ROUTER),
    "experts": Part.EXPERTS,
    **dict.fromkeys(("lm_head", "embed_out", "output"), Part.HEAD),
}
"""What a module of this name returns, as published checkpoints call them."""

_IN_ATTENTION = {"c_proj": Part.OUTPUT, "dense": Part.OUTPUT}
_IN_FEED_FORWARD = {"c_proj": Part.DOWN}
_ATTENTIONS = ("self_attn", "attn", "attention")

_GIVEN = {
    Part.OUTPUT: Part.ATTENDED,
    Part.ACTIVATION: Part.GATE,
    Part.DOWN: Part.PRODUCT,
    Part.NORM: Part.RESIDUAL,
}
"""What was computed just before a module is given its values, where that is no module of its own."""


def part_returned(path: str, kind: str, *, in_layer: bool) -> Part:
    """Return which operation the module at `path`, of a class called `kind`, closes."""
    *owners, name = path.split(".")
    if "Norm" in kind or "norm" in name or name.startswith("ln_"):
        return Part.NORM if in_layer else Part.FINAL_NORM
    by_owner = _IN_ATTENTION if owners and owners[-1] in _ATTENTIONS else _IN_FEED_FORWARD
    return by_owner.get(name) or _RETURNED.get(name, Part.OTHER)


def part_given(returned: Part, *, in_layer: bool) -> Part:
    """Return which operation was closed when a module that closes `returned` is given its values."""
    return _GIVEN.get(returned, returned) if in_layer else returned
