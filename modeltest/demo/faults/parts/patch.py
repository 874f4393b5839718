"""What a patch is: a small function that puts a fault into a model, and what the model must have for it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass

from modeltest.demo.faults.parts.anatomy import Anatomy

_PRE_NORMS = 2
"""One before the attention and one before the feed-forward."""

Apply = Callable[[ExitStack, Anatomy, float], None]
"""Puts a fault of a strength into a model and registers with the stack how it is taken off."""


@dataclass(frozen=True, slots=True)
class Patch:
    """A fault as code."""

    apply: Apply
    needs: Callable[[Anatomy], bool]
    """Whether a model has what the fault is about."""

    needs_own_attention: bool = False
    """Whether it takes the place of the model's attention, and so does nothing where an engine's own does."""


def has_attention(parts: Anatomy) -> bool:
    """Say whether queries, keys and values of all layers are to be found."""
    return bool(parts.attentions)


def has_rotary(parts: Anatomy) -> bool:
    """Say whether positions turn queries and keys."""
    return bool(parts.rotaries) and has_attention(parts)


def has_positions(parts: Anatomy) -> bool:
    """Say whether positions are to be found."""
    return bool(parts.rotaries) or parts.position_table is not None


def has_feed_forward(parts: Anatomy) -> bool:
    """Say whether the feed-forward matrices of all layers are to be found."""
    return bool(parts.feed_forwards)


def has_both(parts: Anatomy) -> bool:
    """Say whether attention and feed-forward of all layers are to be found."""
    return has_attention(parts) and has_feed_forward(parts)


def adds_plainly(parts: Anatomy) -> bool:
    """Say whether what is computed is added as it is: layers with further norms scale it by themselves."""
    return all(len(layer.norms) == _PRE_NORMS for layer in parts.layers)


def has_norms(parts: Anatomy) -> bool:
    """Say whether the layers have norms."""
    return bool(parts.norms)


def anything(_: Anatomy) -> bool:
    """Say yes."""
    return True
