"""Faults of what a query looks at: masks, windows, blocks and pieces of a prompt, and of the softmax."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from typing import Any

from modeltest.demo.faults.kinds.heads import BLOCK_TOKENS
from modeltest.demo.faults.parts.anatomy import Anatomy
from modeltest.demo.faults.parts.own_attention import Look, put_in
from modeltest.demo.faults.parts.patch import Patch, has_attention, has_positions
from modeltest.demo.faults.parts.rounding import to_bits


def _hides_itself(undo: ExitStack, parts: Anatomy, strength: float) -> None:
    def redirect(look: Look) -> None:
        # The first token has nothing else to look at.
        look.allowed = look.allowed & (
            (look.key_positions != look.query_positions) | (look.query_positions <= 0)
        )

    put_in(undo, parts, redirect=redirect, share=strength)


def _shows_the_next(undo: ExitStack, parts: Anatomy, strength: float) -> None:
    def redirect(look: Look) -> None:
        look.allowed = look.allowed | (look.key_positions == look.query_positions + 1)

    put_in(undo, parts, redirect=redirect, share=strength)


def _loses_the_first(undo: ExitStack, parts: Anatomy, strength: float) -> None:
    def redirect(look: Look) -> None:
        look.allowed = look.allowed & ((look.key_positions != 0) | (look.query_positions <= 0))

    put_in(undo, parts, redirect=redirect, share=strength)


def _narrower(look: Look, window: int) -> None:
    look.allowed = look.allowed & (look.query_positions - look.key_positions < window)


def _window_off(undo: ExitStack, parts: Anatomy, strength: float) -> None:
    def redirect(look: Look) -> None:
        if look.window is not None:
            _narrower(look, look.window - int(strength))

    put_in(undo, parts, redirect=redirect)


def _has_window(parts: Anatomy) -> bool:
    config = parts.model.config
    is_used = getattr(config, "use_sliding_window", True)
    return _can_look(parts) and bool(is_used and getattr(config, "sliding_window", None))


def _window_imposed(undo: ExitStack, parts: Anatomy, strength: float) -> None:
    put_in(undo, parts, redirect=lambda look: _narrower(look, int(strength)))


def _piece_boundary(undo: ExitStack, parts: Anatomy, strength: float) -> None:
    """A query does not see the last token before the piece of the prompt that it was fed in."""
    piece = int(strength)

    def redirect(look: Look) -> None:
        begin = look.query_positions // piece * piece
        look.allowed = look.allowed & ((look.key_positions != begin - 1) | (look.query_positions <= 0))

    put_in(undo, parts, redirect=redirect)


def _shifted_table(undo: ExitStack, parts: Anatomy, strength: float) -> None:
    """Of blocks before a query's own, the n behind the first are read one place too early."""
    import torch

    def redirect(look: Look) -> None:
        block = look.key_positions // BLOCK_TOKENS
        is_wrong = (block >= 1) & (block <= int(strength)) & (look.key_positions >= 0)
        is_past = block < look.query_positions // BLOCK_TOKENS
        places = torch.arange(look.key.shape[2], device=look.key.device)
        taken = torch.where(is_wrong[:, 0, 0], places - BLOCK_TOKENS, places).clamp(min=0)
        again = (_gathered(each, taken) for each in (look.key, look.value))
        look.key, look.value = (
            torch.cat([own, wrong], dim=2) for own, wrong in zip((look.key, look.value), again, strict=True)
        )
        through_table = look.allowed & is_past & is_wrong
        look.allowed = torch.cat([look.allowed & ~through_table, through_table], dim=-1)

    put_in(undo, parts, redirect=redirect)


def _gathered(states: Any, taken: Any) -> Any:
    """Return `[rows, heads, keys, width]` with keys in the places `taken`, `[rows or 1, keys]`."""
    places = taken.expand(states.shape[0], -1)[:, None, :, None]
    return states.gather(2, places.expand(-1, states.shape[1], -1, states.shape[3]))


def _coarse_softmax(undo: ExitStack, parts: Anatomy, strength: float) -> None:
    import torch

    def weigh(scores: Any) -> Any:
        # A query of padding sees no key at all: its weights are 0, and not what 0 / 0 is.
        lowest, tiny = torch.finfo(scores.dtype).min, torch.finfo(scores.dtype).tiny
        largest = scores.amax(-1, keepdim=True).clamp(min=lowest)
        exponents = to_bits(to_bits(scores, strength) - largest, strength).exp()
        exponents = to_bits(exponents, strength)
        total = to_bits(exponents.sum(-1, keepdim=True), strength).clamp(min=tiny)
        return to_bits(exponents / total, strength)

    put_in(undo, parts, weigh=weigh)


def _cap_missing(undo: ExitStack, parts: Anatomy, strength: float) -> None:
    def redirect(look: Look) -> None:
        look.cap = None

    put_in(undo, parts, redirect=redirect, share=strength)


def _cap_imposed(undo: ExitStack, parts: Anatomy, strength: float) -> None:
    def redirect(look: Look) -> None:
        look.cap = strength

    put_in(undo, parts, redirect=redirect)


def _can_look(parts: Anatomy) -> bool:
    is_numbered = all(hasattr(each.module, "layer_idx") for each in parts.attentions)
    return has_attention(parts) and has_positions(parts) and is_numbered


def _is_capped(parts: Anatomy) -> bool:
    return _can_look(parts) and getattr(parts.model.config, "attn_logit_softcapping", None) is not None


def _is_not_capped(parts: Anatomy) -> bool:
    return _can_look(parts) and not _is_capped(parts)


PATCHES: Mapping[str, Patch] = {
    "mask_hides_itself": Patch(_hides_itself, _can_look, needs_own_attention=True),
    "mask_shows_the_next": Patch(_shows_the_next, _can_look, needs_own_attention=True),
    "first_key_lost": Patch(_loses_the_first, _can_look, needs_own_attention=True),
    "window_off_by_one": Patch(_window_off, _has_window, needs_own_attention=True),
    "window_imposed": Patch(_window_imposed, _can_look, needs_own_attention=True),
    "prefill_boundary": Patch(_piece_boundary, _can_look, needs_own_attention=True),
    "block_table_shifted": Patch(_shifted_table, _can_look, needs_own_attention=True),
    "softmax_in_half": Patch(_coarse_softmax, _can_look, needs_own_attention=True),
    "attention_cap_missing": Patch(_cap_missing, _is_capped, needs_own_attention=True),
    "attention_cap_imposed": Patch(_cap_imposed, _is_not_capped, needs_own_attention=True),
}
