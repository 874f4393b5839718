"""Faults of the heads of attention: scale, order, sharing, biases, and keys and values in a cache."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from typing import Any

from modeltest.demo.faults.parts.anatomy import Anatomy, Attention, Projection, some
from modeltest.demo.faults.parts.patch import Patch, has_attention
from modeltest.demo.faults.parts.patching import (
    edit_matrix,
    edit_weight,
    on_input,
    on_output,
    put_weight,
    run_instead,
    set_value,
)
from modeltest.demo.faults.parts.placing import Watch
from modeltest.demo.faults.parts.rounding import to_bits

BLOCK_TOKENS = 16
"""Of a block of a paged cache, as vLLM's on a GPU."""

_STALE_STRIDE = 7919
"""Makes the ids of the earlier request whose keys and values a stale block holds."""


def _scale(undo: ExitStack, parts: Anatomy, strength: float) -> None:
    for attention in parts.attentions:
        set_value(undo, attention.module, "scaling", attention.module.scaling * strength)


def _has_scaling(parts: Anatomy) -> bool:
    return has_attention(parts) and all(hasattr(each.module, "scaling") for each in parts.attentions)


def _order(undo: ExitStack, parts: Anatomy, strength: float) -> None:
    """Swap the first two heads' results."""

    def swapped_in(attention: Attention) -> Any:
        def swapped(states: Any) -> Any:
            heads = states.unflatten(-1, (attention.heads, -1)).clone()
            heads[..., [0, 1], :] = heads[..., [1, 0], :]
            return heads.flatten(-2)

        return swapped

    for attention in some(parts.attentions, strength):
        on_input(undo, attention.output, swapped_in(attention))


def _has_heads(parts: Anatomy) -> bool:
    return has_attention(parts) and parts.attentions[0].heads > 1


def _other_group(undo: ExitStack, parts: Anatomy, strength: float) -> None:
    for attention in some(parts.attentions, strength):
        for projection in (attention.keys, attention.values):
            projection.on_heads(undo, lambda states: states.roll(1, dims=-2))


def _interleaved_groups(undo: ExitStack, parts: Anatomy, strength: float) -> None:
    """Query head h looks at key head h % n where it should at h // (heads / n)."""
    import torch

    def on(attention: Attention) -> None:
        groups = attention.heads // attention.key_heads
        slots = torch.arange(attention.heads)
        # In slot s, whose keys are those of head s // groups, goes a head that wrongly looks there.
        head_in_slot = (slots % groups) * attention.key_heads + slots // groups
        slot_of_head = head_in_slot.argsort()
        attention.queries.on_heads(undo, lambda states: states[..., head_in_slot, :])

        def back(states: Any) -> Any:
            return states.unflatten(-1, (attention.heads, -1))[..., slot_of_head, :].flatten(-2)

        on_input(undo, attention.output, back)

    for attention in some(parts.attentions, strength):
        on(attention)


def _shares_keys(parts: Anatomy) -> bool:
    return has_attention(parts) and 1 < parts.attentions[0].key_heads < parts.attentions[0].heads


def _keys_for_values(undo: ExitStack, parts: Anatomy, strength: float) -> None:
    """Take keys for values and values for keys, as a loader does that reads the parts in another order."""
    for attention in some(parts.attentions, strength):
        keys, values = attention.keys, attention.values
        if keys.module is values.module:
            _swap_within(undo, keys, values)
            continue
        for name in ("weight", "bias"):
            one, other = getattr(keys.module, name), getattr(values.module, name)
            if one is not None:
                of_one, of_other = one.data, other.data
                put_weight(undo, one, of_other)
                put_weight(undo, other, of_one)


def _swap_within(undo: ExitStack, keys: Projection, values: Projection) -> None:
    """Swap keys and values in a matrix and a bias that make both."""

    def swap(outputs: Any) -> None:
        of_keys = keys.heads(outputs).clone()
        keys.heads(outputs).copy_(values.heads(outputs))
        values.heads(outputs).copy_(of_keys)

    def swapped(bias: Any) -> Any:
        swap(bias)
        return bias

    edit_matrix(undo, keys.module, swap)
    if keys.module.bias is not None:
        edit_weight(undo, keys.module.bias, swapped)


def _biased(parts: Anatomy) -> bool:
    return has_attention(parts) and parts.attentions[0].queries.module.bias is not None


def _no_bias(undo: ExitStack, parts: Anatomy, strength: float) -> None:
    for attention in some(parts.attentions, strength):
        for module in {id(each.module): each.module for each in attention.projections}.values():
            edit_weight(undo, module.bias, lambda bias: bias.zero_())


def _no_query_key_norm(undo: ExitStack, parts: Anatomy, strength: float) -> None:
    for attention in some(parts.attentions, strength):
        for norm in (attention.module.q_norm, attention.module.k_norm):
            run_instead(undo, norm, lambda states: states)


def _norms_queries(parts: Anatomy) -> bool:
    return has_attention(parts) and all(hasattr(each.module, "q_norm") for each in parts.attentions)


def _coarse_cache(undo: ExitStack, parts: Anatomy, strength: float) -> None:
    for attention in parts.attentions:
        for projection in (attention.keys, attention.values):
            projection.on_heads(undo, lambda states: to_bits(states, strength))


def _stale_blocks(undo: ExitStack, parts: Anatomy, strength: float) -> None:
    """Blocks 1 to n hold what an earlier request left there; all keys of the model are read from blocks."""
    import torch

    end = BLOCK_TOKENS * (1 + int(strength))
    earlier = _earlier_keys_values(parts, end)
    watch = Watch(undo, parts)

    def stale_in(projection: Projection) -> Any:
        known = earlier[id(projection)]

        def stale(states: Any) -> Any:
            positions = watch.positions
            is_stale = (positions >= BLOCK_TOKENS) & (positions < end)
            older = known[positions.clamp(0, end - 1)]
            return torch.where(is_stale[..., None, None], older.to(states.dtype), states)

        return stale

    for attention in parts.attentions:
        for projection in (attention.keys, attention.values):
            projection.on_heads(undo, stale_in(projection))


def _earlier_keys_values(parts: Anatomy, tokens: int) -> dict[int, Any]:
    """Return what each projection of keys and values makes of another request, `[tokens, heads, width]`."""
    import torch

    known: dict[int, Any] = {}

    def keep(projection: Projection) -> Any:
        def kept(output: Any) -> Any:
            known[id(projection)] = projection.heads(output)[0].clone()
            return output

        return kept

    ids = (torch.arange(1, tokens + 1) * _STALE_STRIDE) % parts.embedding.num_embeddings
    with ExitStack() as undo, torch.inference_mode():
        for attention in parts.attentions:
            for projection in (attention.keys, attention.values):
                on_output(undo, projection.module, keep(projection))
        parts.model(input_ids=ids[None].to(parts.embedding.weight.device), use_cache=False)
    return known


def _can_be_stale(parts: Anatomy) -> bool:
    return has_attention(parts) and (bool(parts.rotaries) or parts.position_table is not None)


PATCHES: Mapping[str, Patch] = {
    "attention_scale": Patch(_scale, _has_scaling),
    "head_order": Patch(_order, _has_heads),
    "kv_group": Patch(_other_group, _shares_keys),
    "kv_interleaved": Patch(_interleaved_groups, _shares_keys),
    "keys_for_values": Patch(_keys_for_values, has_attention),
    "missing_attention_bias": Patch(_no_bias, _biased),
    "query_key_norm_missing": Patch(_no_query_key_norm, _norms_queries),
    "kv_cache_coarse": Patch(_coarse_cache, has_attention),
    "stale_block": Patch(_stale_blocks, _can_be_stale),
}
