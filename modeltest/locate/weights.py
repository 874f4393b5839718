"""Which weights of a candidate are no rounding of the reference's."""

from __future__ import annotations

from typing import Any

_ROUNDINGS = 2
"""Units in which a weight may be off: half of it rounded to the nearest, whole where it was cut off."""

_SLACK = 1.001


def weights_off(reference: Any, candidate: Any) -> dict[str, int]:
    """Return how many weights of each module of `candidate` are further off than rounding to its dtype goes.

    Modules are matched by name; weights that only one of both has, or in another shape, are left out: an
    engine may store what it computes with as it likes.
    """
    import torch

    right = dict(reference.named_modules())
    found: dict[str, int] = {}
    with torch.inference_mode():
        for path, module in candidate.named_modules():
            theirs = dict(right[path].named_parameters(recurse=False)) if path in right else {}
            for name, weight in module.named_parameters(recurse=False):
                if name in theirs and theirs[name].shape == weight.shape:
                    found[path] = found.get(path, 0) + _count_off(theirs[name], weight)
    return {path: count for path, count in found.items() if count}


def _count_off(right: Any, weight: Any) -> int:
    """Count what is off; below the smallest normal number of the dtype a device may flush to zero."""
    import torch

    limits = torch.finfo(weight.dtype)
    truth = right.detach().cpu().float()
    allowed = truth.abs() * (limits.eps / 2 * _ROUNDINGS * _SLACK) + limits.tiny
    off = (weight.detach().cpu().float() - truth).abs()
    return int((~(off <= allowed)).sum())
