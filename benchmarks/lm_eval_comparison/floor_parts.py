"""The floor under prompts, part by part: matrices, attention and norms of the unique tokens, nothing else.

Every part is done as often as the model does it and at its own sizes: the matrices of all layers with the
rows of real prompts, so that the rate is what the machine holds for as long as an evaluation takes, not its
best moment. Left out are rotary positions, gates and residual sums, and the output matrix, of which a
question needs one row.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

from lm_eval_comparison.unique_tokens import UniqueTokens, concatenate


def time_parts(model: Any, unique: UniqueTokens, batch_size: int) -> dict[str, float]:
    """Return the seconds of each part and their sum, `parts_s`.

    What is computed at once: a prefix, or what `batch_size` questions add.
    """
    widths = [len(row) for row in (*unique.prefixes, *concatenate(unique.own, batch_size))]
    seconds = {
        "matrices_s": _matrices_s(model, widths),
        "attention_s": _attention_s(model, unique, batch_size),
        "norms_s": _norms_s(model, widths),
    }
    return {**seconds, "parts_s": sum(seconds.values())}


def prefix_calls(unique: UniqueTokens, batch_size: int) -> list[tuple[int, int]]:
    """Return the calls of attention from questions to what stands before them, as `(queries, keys)`.

    The tokens of `batch_size` questions go in one call, which looks at the mean of what each must look at.
    """
    pieces = list(zip(map(len, unique.own), unique.contexts, strict=True))
    calls = []
    for begin in range(0, len(pieces), batch_size):
        group = pieces[begin : begin + batch_size]
        queries = sum(length for length, _ in group)
        calls.append((queries, round(sum(length * context for length, context in group) / queries)))
    return [(queries, keys) for queries, keys in calls if keys]


def layer_matrices(layer: Any) -> list[Any]:
    """Return the weights that multiply in one layer."""
    import torch

    return [module.weight for module in layer.modules() if isinstance(module, torch.nn.Linear)]


def _matrices_s(model: Any, widths: Sequence[int]) -> float:
    import torch

    layers = [layer_matrices(layer) for layer in model.model.layers]
    seconds = 0.0
    for width in widths:
        inputs = [_random(model, width, matrix.shape[1]) for matrix in layers[0]]

        def multiply(inputs: list[Any] = inputs) -> None:
            for matrices in layers:
                for matrix, values in zip(matrices, inputs, strict=True):
                    torch.nn.functional.linear(values, matrix)

        seconds += _seconds(multiply)
    return seconds


def _attention_s(model: Any, unique: UniqueTokens, batch_size: int) -> float:
    """Time a prefix and a question's own tokens by themselves, causally, and questions to what is before."""
    own = [(length, length, True) for length in map(len, (*unique.prefixes, *unique.own))]
    before = [(queries, keys, False) for queries, keys in prefix_calls(unique, batch_size)]
    return sum(_attend_s(model, *call) for call in (*own, *before))


def _attend_s(model: Any, queries: int, keys: int, is_causal: bool) -> float:
    import torch

    config = model.config
    size = config.hidden_size // config.num_attention_heads
    query = _random(model, 1, config.num_attention_heads, queries, size)
    key, value = (_random(model, 1, config.num_key_value_heads, keys, size) for _ in range(2))

    def attend() -> None:
        for _ in model.model.layers:
            torch.nn.functional.scaled_dot_product_attention(
                query, key, value, is_causal=is_causal, enable_gqa=True
            )

    return _seconds(attend)


def _norms_s(model: Any, widths: Sequence[int]) -> float:
    layers = model.model.layers
    norms = [norm for layer in layers for norm in (layer.input_layernorm, layer.post_attention_layernorm)]
    seconds = 0.0
    for width in widths:
        values = _random(model, 1, width, model.config.hidden_size)

        def normalise(values: Any = values) -> None:
            for norm in norms:
                norm(values)

        seconds += _seconds(normalise)
    return seconds


def _random(model: Any, *shape: int) -> Any:
    import torch

    return torch.randn(*shape).to(model.dtype)


def _seconds(work: Callable[[], None]) -> float:
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin
