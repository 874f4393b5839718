"""How far two computations of the same logits are from each other, and how far rounding alone takes them.

A harness that compares the worst of 50,000 tokens with a fixed limit finds rounding, not faults: in bfloat16
a right computation of a trained model differs from another by half a nat on some token that nobody would say.
So distributions are compared, and the yardstick is measured on the model at hand.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any


def distance(logits: Sequence[Any], truth: Sequence[Any]) -> float:
    """Return how far `logits` are from `truth`, both `[positions, vocabulary]` per row, in nats.

    At each position it is the standard deviation of the difference of the log-probabilities, weighted by what
    `truth` says. That is the square root of twice the Kullback-Leibler divergence where both are close, but
    does not drown in rounding as the divergence does. Over positions it is the root of the mean square.
    Positions at which `truth` is no number (an overflow in float16) say nothing and are left out; `logits`
    that are no number elsewhere are infinitely far.
    """
    import torch

    squares = []
    for found, expected in zip(logits, truth, strict=True):
        # On the host, since arithmetic of the device is what is tried. Float32 is enough for differences of
        # 1e-7: that of two numbers that are near each other has no error in it.
        mine, right = (each.detach().cpu().float() for each in (found, expected))
        known = ~right.isnan().any(dim=-1)
        if not known.all():
            mine, right = mine[known], right[known]
        weights = right.softmax(dim=-1)
        # A token that both exclude (minus infinity) differs by nothing.
        differences = (mine - right).masked_fill_(mine == right, 0.0)
        differences -= (weights * differences).sum(dim=-1, keepdim=True)
        squares.append((weights * differences.square_()).sum(dim=-1))
    every = torch.cat(squares)
    if not len(every):
        return 0.0
    value = float(every.mean().sqrt())
    return float("inf") if math.isnan(value) else value


def rounding_of(logits: Any, dtype: Any = None) -> float:
    """Return by how much storing `logits` in `dtype` (their own) alone may change them, on average."""
    import torch

    sizes = logits.detach().cpu().float().abs()
    mean = float(sizes.mean())
    if not math.isfinite(mean):
        known = sizes[sizes.isfinite()]
        mean = float(known.mean()) if len(known) else 0.0
    return mean * torch.finfo(dtype or logits.dtype).eps
