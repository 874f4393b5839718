"""Attention written out, in place of the model's, so that a fault may change what is looked at and how.

It serves passes of padded rows and single rows. Engines that compute attention themselves never call it.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

from modeltest.api import PrerequisiteError
from modeltest.demo.faults.parts.anatomy import Anatomy, some
from modeltest.demo.faults.parts.placing import Watch


@dataclass(slots=True)
class Look:
    """What the queries of a layer look at; a fault changes it before scores are computed."""

    query: Any
    """`[rows, heads, queries, width]`; of the others one head may serve several of these."""

    key: Any
    value: Any
    allowed: Any
    """`[rows, 1, queries, keys]`, true where a query may look."""

    query_positions: Any
    """`[rows or 1, 1, queries, 1]`."""

    key_positions: Any
    """`[rows or 1, 1, 1, keys]`; negative where padding is."""

    window: int | None
    cap: float | None
    """Of the scores, which are squashed between it and its negative."""


Redirect = Callable[[Look], None]
"""Changes a `Look` in place."""

Weigh = Callable[[Any], Any]
"""From scores `[rows, heads, queries, keys]` in float32 to weights that sum to one."""


def softmax(scores: Any) -> Any:
    """Return the weights of scores, as they should be."""
    return scores.softmax(dim=-1)


def put_in(
    undo: ExitStack,
    parts: Anatomy,
    *,
    redirect: Redirect | None = None,
    weigh: Weigh = softmax,
    share: float = 1.0,
) -> None:
    """Let a share of the layers attend with what `redirect` makes of each look; the others as they should.

    Raises: PrerequisiteError where transformers keeps a model's attention closed.
    """
    try:
        from transformers import AttentionInterface, AttentionMaskInterface
        from transformers.masking_utils import eager_mask
    except ImportError as problem:
        raise PrerequisiteError(
            "this fault is in a model's attention, which the installed transformers keeps closed "
            f"({problem}); use transformers 5"
        ) from None

    watch = Watch(undo, parts)
    broken = {attention.module.layer_idx for attention in some(parts.attentions, share)}

    def attend(module: Any, query: Any, key: Any, value: Any, attention_mask: Any, **options: Any) -> Any:
        is_broken = module.layer_idx in broken
        look = _look(watch, query, key, value, attention_mask, options)
        if is_broken and redirect is not None:
            redirect(look)
        scale = options.get("scaling") or query.shape[-1] ** -0.5
        return _attended(look, scale, weigh if is_broken else softmax), None

    name = f"modeltest_fault_{id(attend):x}"
    AttentionInterface.register(name, attend)
    AttentionMaskInterface.register(name, eager_mask)
    undo.callback(AttentionMaskInterface._global_mapping.pop, name)
    undo.callback(AttentionInterface._global_mapping.pop, name)
    before = parts.model.config._attn_implementation
    parts.model.set_attn_implementation(name)
    undo.callback(parts.model.set_attn_implementation, before)


def _look(watch: Watch, query: Any, key: Any, value: Any, mask: Any, options: dict[str, Any]) -> Look:
    import torch

    at = watch.positions
    keys = key.shape[2]
    places = torch.arange(keys, device=key.device)
    # The last key is that of the last query, and padding is on the left.
    key_positions = at[:, -1:] - (keys - 1) + places
    allowed = mask[..., :keys] > torch.finfo(mask.dtype).min / 2
    return Look(
        query,
        key,
        value,
        allowed,
        at[:, None, :, None],
        key_positions[:, None, None, :],
        options.get("sliding_window"),
        options.get("softcap"),
    )


def _attended(look: Look, scale: float, weigh: Weigh) -> Any:
    """Return `[rows, queries, heads, width]`."""
    import torch

    groups = look.query.shape[1] // look.key.shape[1]
    key, value = (each.repeat_interleave(groups, dim=1) for each in (look.key, look.value))
    scores = (look.query @ key.transpose(-1, -2)).float() * scale
    if look.cap is not None:
        scores = (scores / look.cap).tanh() * look.cap
    weights = weigh(scores.masked_fill(~look.allowed, torch.finfo(torch.float32).min))
    return (weights.to(value.dtype) @ value).transpose(1, 2).contiguous()
