"""Faults of mixtures of experts: how many are asked, which, and how much each says."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from typing import Any

from modeltest.demo.faults.parts.anatomy import Anatomy, some
from modeltest.demo.faults.parts.patch import Patch
from modeltest.demo.faults.parts.patching import edit_weight, on_outputs, set_value
from modeltest.demo.faults.parts.rounding import to_bits

_SUMS_TO_ONE = 1e-3


def _has_experts(parts: Anatomy) -> bool:
    return bool(parts.mixtures)


def _other_top(undo: ExitStack, parts: Anatomy, strength: float) -> None:
    for mixture in parts.mixtures:
        top = max(1, mixture.router.top_k + int(strength))
        set_value(undo, mixture.router, "top_k", min(top, len(mixture.router.weight)))


def _routed(logits: Any, count: int, *, is_normalised: bool) -> tuple[Any, Any]:
    """Return the scores and the experts of each token, `[tokens, count]`."""
    scores, experts = logits.float().softmax(dim=-1).topk(count, dim=-1)
    return (scores / scores.sum(-1, keepdim=True) if is_normalised else scores), experts


def _is_normalised(scores: Any) -> bool:
    return bool(((scores.float().sum(-1) - 1).abs() < _SUMS_TO_ONE).all())


def _other_normalisation(undo: ExitStack, parts: Anatomy, strength: float) -> None:
    def change(routing: tuple[Any, ...]) -> tuple[Any, ...]:
        logits, scores, experts = routing
        other, _ = _routed(logits, experts.shape[-1], is_normalised=not _is_normalised(scores))
        return logits, other.to(scores.dtype), experts

    for mixture in some(parts.mixtures, strength):
        on_outputs(undo, mixture.router, change)


def _coarse_router(undo: ExitStack, parts: Anatomy, strength: float) -> None:
    """Near-ties become ties, and the expert that comes first is asked."""

    def change(routing: tuple[Any, ...]) -> tuple[Any, ...]:
        logits, scores, experts = routing
        rounded = to_bits(logits, strength)
        other, chosen = _routed(rounded, experts.shape[-1], is_normalised=_is_normalised(scores))
        return rounded, other.to(scores.dtype), chosen

    for mixture in parts.mixtures:
        on_outputs(undo, mixture.router, change)


def _experts_swapped(undo: ExitStack, parts: Anatomy, strength: float) -> None:
    """The first two experts have each other's closing matrix."""

    def swapped(weights: Any) -> Any:
        weights[[0, 1]] = weights[[1, 0]]
        return weights

    for mixture in some(parts.mixtures, strength):
        edit_weight(undo, mixture.module.down_proj, swapped)


PATCHES: Mapping[str, Patch] = {
    "experts_top": Patch(_other_top, _has_experts),
    "expert_scores_not_normalised": Patch(_other_normalisation, _has_experts),
    "expert_ties": Patch(_coarse_router, _has_experts),
    "experts_swapped": Patch(_experts_swapped, _has_experts),
}
