"""Attention over a part of the keys, with what it takes to merge parts: output and log-sum-exp.

Softmax attention over keys A and B together is the mean of the attention over each, weighted by the sums of
the exponentials, so that the attention over a shared prefix is computed once for all rows below it.

Source: FlashAttention's online softmax (Dao et al. 2022); cascade inference of FlashInfer (Ye et al. 2024).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

_CHUNK_QUERIES = 512
"""Queries whose scores are in memory together where no fused kernel serves."""


@dataclass(slots=True)
class Accumulator:
    """Attention of queries `[1, heads, tokens, width]` over the keys seen so far, in float32."""

    output: Any
    log_sum_exp: Any

    @staticmethod
    def empty(query: Any, width: int) -> Accumulator:
        """Return one for `query`, to be filled for every token with `is_first` before anything is merged."""
        import torch

        shape = query.shape[:3]
        return Accumulator(
            torch.empty((*shape, width), dtype=torch.float32, device=query.device),
            torch.empty(shape, dtype=torch.float32, device=query.device),
        )

    def add(self, at: slice, output: Any, log_sum_exp: Any, *, is_first: bool) -> None:
        """Merge the attention of the queries `at` over further keys."""
        if is_first:
            self.output[:, :, at] = output
            self.log_sum_exp[:, :, at] = log_sum_exp
            return
        merge(self.output[:, :, at], self.log_sum_exp[:, :, at], output, log_sum_exp)


def merge(known: Any, known_sum: Any, output: Any, log_sum_exp: Any) -> None:
    """Merge attention over further keys into what is known, in place; `known` is in float32."""
    import torch

    weight = (log_sum_exp - known_sum).sigmoid_().unsqueeze(-1)
    known.lerp_(output.float(), weight)
    torch.logaddexp(known_sum, log_sum_exp, out=known_sum)


def attend_each(query: Any, key: Any, value: Any, *, scale: float, bias: Any = None) -> tuple[Any, Any]:
    """Return output and log-sum-exp of rows `[rows, heads, queries, width]` that each have their own keys.

    `bias` is added to the scores, and may be -inf for all but one of a query's.
    """
    import torch

    if query.device.type == "cpu" and value.shape[-1] == query.shape[-1]:
        fused = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
        output, log_sum_exp = fused(query, key, value, 0.0, False, attn_mask=bias, scale=scale)
        return output, log_sum_exp
    scores = (query @ key.transpose(-1, -2)).float() * scale
    return _weighted(scores if bias is None else scores + bias, value)


def attend(query: Any, key: Any, value: Any, *, scale: float, mask: Any = None, causal: bool = False) -> Any:
    """Return output `[1, heads, queries, width]` and log-sum-exp `[1, heads, queries]`.

    `key` and `value` may have fewer heads, each shared by consecutive heads of `query`. `mask` `[queries,
    keys]` is true where a query may attend; a query that may attend to nothing gets -inf as log-sum-exp.
    """
    import torch

    if query.device.type == "cpu" and mask is None and value.shape[-1] == query.shape[-1]:
        fused = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
        return fused(query, key, value, 0.0, causal, scale=scale)
    groups = query.shape[1] // key.shape[1]
    if groups > 1:
        key, value = (each.repeat_interleave(groups, dim=1) for each in (key, value))
    if causal:
        places = torch.arange(key.shape[2], device=key.device)
        own = places[None, :] <= places[:, None]
        mask = own if mask is None else mask & own
    parts = [
        _attend_plainly(query[:, :, begin : begin + _CHUNK_QUERIES], key, value, scale, _rows(mask, begin))
        for begin in range(0, query.shape[2], _CHUNK_QUERIES)
    ]
    outputs, log_sum_exps = zip(*parts, strict=True)
    return torch.cat(outputs, dim=2), torch.cat(log_sum_exps, dim=2)


def _attend_plainly(query: Any, key: Any, value: Any, scale: float, mask: Any) -> tuple[Any, Any]:
    scores = (query @ key.transpose(-1, -2)).float() * scale
    if mask is not None:
        scores = scores.masked_fill(~mask, float("-inf"))
    return _weighted(scores, value)


def _weighted(scores: Any, value: Any) -> tuple[Any, Any]:
    log_sum_exp = scores.logsumexp(dim=-1)
    # Where everything is masked, exp(-inf - -inf) would be NaN: the weight is set to zero instead.
    weights = (scores - log_sum_exp.clamp(min=-1e30).unsqueeze(-1)).exp()
    return weights.to(value.dtype) @ value, log_sum_exp


def _rows(mask: Any, begin: int) -> Any:
    return None if mask is None else mask[begin : begin + _CHUNK_QUERIES]
