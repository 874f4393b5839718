"""Drawing the next token at random, with the warpers of transformers in its order."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

from engines.hf.model.forward import NOT_A_NUMBER
from modeltest.api import Sampling


class Sampler:
    """A function from logits `[rows, vocabulary]` to a token per row, as `greedy` is one.

    Equal seeds draw alike for equal logits in equal order. What is not set restricts nothing. Each replica
    draws from a seed of its own: two that are asked the same prompt give two samples, not one sample twice.
    """

    def __init__(self, sampling: Sampling, *, seed: int, device: str, replica: int = 0) -> None:
        import torch

        self._warpers = _warpers(sampling)
        self._seed = _of_replica(seed, replica)
        self._generator = torch.Generator(device).manual_seed(self._seed)

    def __call__(self, logits: Any) -> Any:
        """Return the tokens drawn; `NOT_A_NUMBER` where logits are NaN."""
        import torch

        broken = logits.isnan().any(dim=-1)
        scores = logits.float().masked_fill(broken[:, None], 0.0)
        for warper in self._warpers:
            scores = warper(None, scores)
        tokens = torch.multinomial(scores.softmax(dim=-1), 1, generator=self._generator)[:, 0]
        return torch.where(broken, NOT_A_NUMBER, tokens)

    def restart(self) -> None:
        """Draw from now on what was drawn from the beginning."""
        self._generator.manual_seed(self._seed)


def _of_replica(seed: int, replica: int) -> int:
    """Return the seed of a replica; that of the first is the run's own."""
    if replica == 0:
        return seed
    return int.from_bytes(hashlib.sha256(f"{seed}/{replica}".encode()).digest()[:7], "big")


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
