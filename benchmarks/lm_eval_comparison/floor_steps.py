"""The floor under texts: as few steps as there can be, each of them a plain step of the model.

A step writes one token of every row of a batch. Were the batch always full, all texts together would take
their tokens over the batch size; the first token of a text comes from its prompt, and the end of it instead.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import ceil
from statistics import median
from typing import Any

_STEPS = 20
_WARM_UP = 3
_BUFFER_BYTES = 1 << 30
"""Far more than caches hold."""


@dataclass(frozen=True, slots=True)
class Steps:
    """How many steps of how many rows, and how much each row holds in the middle of its text."""

    count: int
    rows: int
    cache_tokens: int


def plan_steps(
    prompts: Sequence[tuple[str, Sequence[int]]], text_tokens: Sequence[int], batch_size: int
) -> Steps | None:
    """Return the steps for texts of `text_tokens` after `prompts`; `None` where there are no texts."""
    total = sum(text_tokens)
    if not total:
        return None
    # Long texts are in more steps than short ones.
    held = sum(
        tokens * (len(prompt) + tokens / 2) for (_, prompt), tokens in zip(prompts, text_tokens, strict=True)
    )
    return Steps(ceil(total / batch_size), min(batch_size, len(prompts)), round(held / total))


def time_steps(model: Any, steps: Steps) -> dict[str, float]:
    """Return the seconds of one step and of all, and those of reading weights and cache alone."""
    step_s = _step_s(model, steps)
    bandwidth = _bytes_per_s()
    read_bytes = _weight_bytes(model) + cache_bytes(model.config, steps, itemsize=model.dtype.itemsize)
    return {
        "steps": steps.count,
        "step_rows": steps.rows,
        "step_cache_tokens": steps.cache_tokens,
        "step_s": step_s,
        "steps_s": steps.count * step_s,
        "step_bytes": read_bytes,
        "bytes_per_s": bandwidth,
        "step_read_s": read_bytes / bandwidth,
        "steps_read_s": steps.count * read_bytes / bandwidth,
    }


def cache_bytes(config: Any, steps: Steps, *, itemsize: int) -> int:
    """Return the size of keys and values of all rows."""
    head = config.hidden_size // config.num_attention_heads
    per_token = 2 * config.num_hidden_layers * config.num_key_value_heads * head * itemsize
    return per_token * steps.rows * steps.cache_tokens


def _weight_bytes(model: Any) -> int:
    # Tied embeddings are one parameter, and read as a whole: they are the output matrix.
    return sum(each.numel() * each.element_size() for each in model.parameters())


def _step_s(model: Any, steps: Steps) -> float:
    """Return the median time of a call of the model with one token a row and a filled cache."""
    import torch
    from transformers import DynamicCache

    config = model.config
    head = config.hidden_size // config.num_attention_heads
    shape = (steps.rows, config.num_key_value_heads, max(1, steps.cache_tokens - _STEPS // 2), head)
    cache = DynamicCache()
    for layer in range(config.num_hidden_layers):
        cache.update(torch.randn(shape).to(model.dtype), torch.randn(shape).to(model.dtype), layer)
    ids = torch.ones((steps.rows, 1), dtype=torch.long)
    times = []
    for _ in range(_WARM_UP + _STEPS):
        begin = time.perf_counter()
        logits = model(input_ids=ids, past_key_values=cache, use_cache=True, logits_to_keep=1).logits
        ids = logits[:, -1].argmax(-1, keepdim=True)
        times.append(time.perf_counter() - begin)
    return median(times[_WARM_UP:])


def _bytes_per_s() -> float:
    """Return the best rate at which this machine reads memory."""
    import torch

    buffer = torch.ones(_BUFFER_BYTES // 8, dtype=torch.int64)
    return _BUFFER_BYTES / min(_seconds(buffer.sum) for _ in range(5))


def _seconds(work: Callable[[], Any]) -> float:
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin
