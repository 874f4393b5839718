"""Numbers as coarser formats hold them."""

from __future__ import annotations

from typing import Any

BFLOAT16_BITS = 8
"""Significant bits, the leading one among them; float16 has 11, float8 (e4m3) 4."""


def to_bits(values: Any, bits: float) -> Any:
    """Return `values` rounded to so many significant bits, in their own dtype; exponents have no limits."""
    import torch

    if bits == BFLOAT16_BITS:
        return values.to(torch.bfloat16).to(values.dtype)  # the same numbers, by an instruction
    mantissa, exponent = torch.frexp(values.float())
    scale = 2.0 ** int(bits)
    return torch.ldexp((mantissa * scale).round() / scale, exponent).to(values.dtype)


def truncated_to_bits(values: Any, bits: float) -> Any:
    """Return `values` cut, not rounded, to so many significant bits."""
    import torch

    mantissa, exponent = torch.frexp(values.float())
    scale = 2.0 ** int(bits)
    return torch.ldexp((mantissa * scale).trunc() / scale, exponent).to(values.dtype)


def to_integers(values: Any, bits: float, *, dim: int | None = None) -> Any:
    """Return `values` as symmetric integers of so many bits hold them: one scale, or one along `dim`."""
    whole = values.float()
    most = whole.abs().amax() if dim is None else whole.abs().amax(dim=dim, keepdim=True)
    step = (most / (2 ** (int(bits) - 1) - 1)).clamp(min=1e-12)
    return ((whole / step).round() * step).to(values.dtype)
