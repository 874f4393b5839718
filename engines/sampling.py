"""Drawing the next token at random, with the warpers of transformers in its order."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from engines.forward import NOT_A_NUMBER
from modeltest.api import Sampling


def sampler(sampling: Sampling, *, seed: int, device: str) -> Callable[[Any], Any]:
    """Return a function from logits `[rows, vocabulary]` to a token per row, as `greedy` is one.

    Equal seeds draw alike for equal logits in equal order. What is not set restricts nothing.
    """
    import torch

    warpers = _warpers(sampling)
    generator = torch.Generator(device).manual_seed(seed)

    def draw(logits: Any) -> Any:
        broken = logits.isnan().any(dim=-1)
        scores = logits.float().masked_fill(broken[:, None], 0.0)
        for warper in warpers:
            scores = warper(None, scores)
        tokens = torch.multinomial(scores.softmax(dim=-1), 1, generator=generator)[:, 0]
        return torch.where(broken, NOT_A_NUMBER, tokens)

    return draw


def _warpers(sampling: Sampling) -> list[Callable[[Any, Any], Any]]:
    from transformers import TemperatureLogitsWarper, TopKLogitsWarper, TopPLogitsWarper

    keep = sampling.min_tokens_to_keep or 1
    warpers: list[Callable[[Any, Any], Any]] = []
    if sampling.temperature is not None:
        warpers.append(TemperatureLogitsWarper(sampling.temperature))
    if sampling.top_k is not None:
        warpers.append(TopKLogitsWarper(sampling.top_k, min_tokens_to_keep=keep))
    if sampling.top_p is not None:
        warpers.append(TopPLogitsWarper(sampling.top_p, min_tokens_to_keep=keep))
    return warpers
