"""Faults of norms."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from typing import Any

from modeltest.demo.faults.parts.anatomy import Anatomy, some
from modeltest.demo.faults.parts.patch import Patch, has_norms
from modeltest.demo.faults.parts.patching import edit_weight, on_output, put_weight, run_instead, set_value
from modeltest.demo.faults.parts.rounding import to_bits

_EPSILONS = ("variance_epsilon", "eps")


def _missing(undo: ExitStack, parts: Anatomy, strength: float) -> None:
    for norm in some(parts.norms, strength):
        run_instead(undo, norm, lambda hidden: hidden)


def _doubled(undo: ExitStack, parts: Anatomy, strength: float) -> None:
    def again(norm: Any) -> Callable[[Any], Any]:
        return lambda hidden: type(norm).forward(norm, hidden)

    for norm in some(parts.norms, strength):
        on_output(undo, norm, again(norm))


def _other_epsilon(undo: ExitStack, norms: tuple[Any, ...], strength: float) -> None:
    for norm in norms:
        name = _epsilon_name(norm)
        set_value(undo, norm, name, getattr(norm, name) * strength)


def _epsilon(undo: ExitStack, parts: Anatomy, strength: float) -> None:
    _other_epsilon(undo, parts.norms, strength)


def _final_epsilon(undo: ExitStack, parts: Anatomy, strength: float) -> None:
    _other_epsilon(undo, (parts.final_norm,), strength)


def _final_missing(undo: ExitStack, parts: Anatomy, strength: float) -> None:
    """Let so much of the final norm's weight go: with 1 all of it, as of one that was not loaded."""
    norm = parts.final_norm
    neutral = 0.0 if _adds_one(norm) else 1.0
    if getattr(norm, "bias", None) is not None:
        edit_weight(undo, norm.bias, lambda bias: (1 - strength) * bias)
    edit_weight(undo, norm.weight, lambda weight: weight + strength * (neutral - weight))


def _of_other_kind(undo: ExitStack, parts: Anatomy, strength: float) -> None:
    for norm in some(parts.norms, strength):
        other = not _subtracts_mean(norm)
        run_instead(undo, norm, _computed(norm, subtracts_mean=other))


def _plus_one(undo: ExitStack, parts: Anatomy, strength: float) -> None:
    for norm in some(parts.norms, strength):
        offset = -1.0 if _adds_one(norm) else 1.0
        put_weight(undo, norm.weight, norm.weight.data + offset)


def _coarse(undo: ExitStack, parts: Anatomy, strength: float) -> None:
    def coarse(values: Any) -> Any:
        return to_bits(values, strength)

    for norm in parts.norms:
        run_instead(undo, norm, _computed(norm, subtracts_mean=_subtracts_mean(norm), rounded=coarse))


def _computed(
    norm: Any, *, subtracts_mean: bool, rounded: Callable[[Any], Any] = lambda values: values
) -> Callable[[Any], Any]:
    """Return a norm with the weights of `norm`, every number of its statistics `rounded`."""
    adds_one = _adds_one(norm)

    def forward(hidden: Any) -> Any:
        import torch

        values = hidden.float()
        if subtracts_mean:
            values = values - rounded(values.mean(-1, keepdim=True))
        spread = rounded(rounded(values.square()).mean(-1, keepdim=True))
        scale = rounded(torch.rsqrt(spread + getattr(norm, _epsilon_name(norm))))
        weight = norm.weight.float() + (1.0 if adds_one else 0.0)
        bias = getattr(norm, "bias", None)
        result = values * scale * weight
        return (result if bias is None else result + bias.float()).to(hidden.dtype)

    return forward


def _epsilon_name(norm: Any) -> str:
    return next(name for name in _EPSILONS if isinstance(getattr(norm, name, None), float))


def _subtracts_mean(norm: Any) -> bool:
    import torch

    return isinstance(norm, torch.nn.LayerNorm)


def _adds_one(norm: Any) -> bool:
    """Say whether a norm scales by one more than its weight: told by what it makes of alternating signs."""
    import torch

    weight = norm.weight
    signs = torch.ones_like(weight)
    signs[1::2] = -1.0
    with torch.no_grad():
        made = type(norm).forward(norm, signs[None])[0].float()
    bias = getattr(norm, "bias", None)
    scale = ((made if bias is None else made - bias.float()) * signs.float()).mean()
    return bool((scale - weight.float().mean() - 1).abs() < (scale - weight.float().mean()).abs())


def _has_epsilon(norms: tuple[Any, ...]) -> bool:
    return all(any(isinstance(getattr(norm, name, None), float) for name in _EPSILONS) for norm in norms)


def _layers_have_epsilon(parts: Anatomy) -> bool:
    return has_norms(parts) and _has_epsilon(parts.norms)


def _final_has_epsilon(parts: Anatomy) -> bool:
    return parts.final_norm is not None and _has_epsilon((parts.final_norm,))


def _is_trained(norm: Any) -> bool:
    """Say whether a norm has learned anything: without that, twice is as good as once."""
    neutral = 0.0 if _adds_one(norm) else 1.0
    bias = getattr(norm, "bias", None)
    return bool((norm.weight != neutral).any()) or (bias is not None and bool(bias.any()))


def _layers_have_weights(parts: Anatomy) -> bool:
    return has_norms(parts) and any(map(_is_trained, parts.norms))


def _final_has_weight(parts: Anatomy) -> bool:
    return parts.final_norm is not None and _is_trained(parts.final_norm)


PATCHES: Mapping[str, Patch] = {
    "norm_missing": Patch(_missing, has_norms),
    "norm_doubled": Patch(_doubled, _layers_have_weights),
    "norm_epsilon": Patch(_epsilon, _layers_have_epsilon),
    "final_norm_epsilon": Patch(_final_epsilon, _final_has_epsilon),
    "final_norm_weight_lost": Patch(_final_missing, _final_has_weight),
    "norm_of_other_kind": Patch(_of_other_kind, _layers_have_epsilon),
    "norm_plus_one": Patch(_plus_one, has_norms),
    "norm_in_half": Patch(_coarse, _layers_have_epsilon),
}
