"""Faults of the positions of tokens, whatever a model makes of them."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from typing import Any

from modeltest.demo.faults.parts.anatomy import Anatomy
from modeltest.demo.faults.parts.patch import Patch, anything, has_positions
from modeltest.demo.faults.parts.placing import on_positions, on_tokens

JUMP_AT = 32
"""The first token whose position is too far on: that behind the second block of 16."""

_OTHER_STRIDE, _OTHER_BEGIN = 7919, 104_729
"""Make other token ids of ids: what another request might have been."""


def _jump(undo: ExitStack, parts: Anatomy, strength: float) -> None:
    on_positions(undo, parts, lambda positions: positions + int(strength) * (positions >= JUMP_AT))


def _padding_counted(undo: ExitStack, parts: Anatomy, strength: float) -> None:
    on_positions(undo, parts, lambda positions: positions + int(strength))


def _restart(undo: ExitStack, parts: Anatomy, strength: float) -> None:
    on_positions(undo, parts, lambda positions: positions % int(strength))


def _prefix_of_another(undo: ExitStack, parts: Anatomy, strength: float) -> None:
    import torch

    tokens = parts.embedding.num_embeddings

    def with_other_prefix(ids: Any, positions: Any) -> Any:
        other = (ids * _OTHER_STRIDE + _OTHER_BEGIN) % tokens
        return torch.where(positions < int(strength), other, ids)

    on_tokens(undo, parts, with_other_prefix)


def _has_table(parts: Anatomy) -> bool:
    """Rotary positions that are all too far on by one number turn queries and keys alike."""
    return parts.position_table is not None


PATCHES: Mapping[str, Patch] = {
    "position_jump": Patch(_jump, has_positions),
    "position_of_padding": Patch(_padding_counted, _has_table),
    "position_restart": Patch(_restart, has_positions),
    "prefix_of_another": Patch(_prefix_of_another, anything),
}
