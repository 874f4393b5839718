"""Faults where tokens become numbers and numbers become tokens: the embedding, the head, the logits."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack

from modeltest.demo.faults.parts.anatomy import Anatomy
from modeltest.demo.faults.parts.patch import Patch, anything
from modeltest.demo.faults.parts.patching import Change, on_input, on_output, set_value
from modeltest.demo.faults.parts.rounding import to_bits

_NOISE_SEED = 0
_CAP = "final_logit_softcapping"


def _embedding_scale(undo: ExitStack, parts: Anatomy, strength: float) -> None:
    on_output(undo, parts.embedding, lambda hidden: hidden * strength)


def _row_shifted(undo: ExitStack, parts: Anatomy, strength: float) -> None:
    """Rows of a share of the vocabulary, its end, are read one too early."""
    first = round(parts.embedding.num_embeddings * (1 - strength))
    on_input(undo, parts.embedding, lambda ids: ids - (ids >= max(first, 1)).to(ids.dtype))


def _untied(undo: ExitStack, parts: Anatomy, strength: float) -> None:
    """The head is not the embedding but, so far as the strength says, something else of its size."""
    import torch

    weight = parts.head.weight
    draws = torch.Generator().manual_seed(_NOISE_SEED)
    noise = torch.randn(weight.shape, generator=draws).to(weight.device) * weight.detach().float().std()
    mixed = (1 - strength) * weight.detach().float() + strength * noise
    set_value(undo, parts.head, "weight", torch.nn.Parameter(mixed.to(weight.dtype), requires_grad=False))


def _is_tied(parts: Anatomy) -> bool:
    return parts.is_tied


def _on_logits(change: Callable[[float], Change]) -> Patch:
    def apply(undo: ExitStack, parts: Anatomy, strength: float) -> None:
        on_output(undo, parts.head, change(strength))

    return Patch(apply, lambda parts: parts.head is not None)


def _capped(strength: float) -> Change:
    return lambda logits: (logits / strength).tanh() * strength


def _coarse(strength: float) -> Change:
    return lambda logits: to_bits(logits, strength)


def _divided(strength: float) -> Change:
    return lambda logits: logits / strength


def _cap_missing(undo: ExitStack, parts: Anatomy, strength: float) -> None:
    """Raise the cap by a factor: one of many is none."""
    set_value(undo, parts.model.config, _CAP, getattr(parts.model.config, _CAP) * strength)


def _is_capped(parts: Anatomy) -> bool:
    return getattr(parts.model.config, _CAP, None) is not None


PATCHES: Mapping[str, Patch] = {
    "embedding_scale": Patch(_embedding_scale, anything),
    "embedding_row_shifted": Patch(_row_shifted, anything),
    "head_not_tied": Patch(_untied, _is_tied),
    "logit_cap_imposed": _on_logits(_capped),
    "logit_cap_missing": Patch(_cap_missing, _is_capped),
    "logits_coarse": _on_logits(_coarse),
    "temperature_left_on": _on_logits(_divided),
}
