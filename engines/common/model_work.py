"""The least work of a loaded model, counted from its weights: what its times are held against."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from engines.common.text_config import text_config
from modeltest.api import ModelWork

_EXPERT_COUNTS = ("num_experts", "num_local_experts", "n_routed_experts", "moe_num_experts")
_UNEVEN = ("num_kv_shared_layers", "is_heterogeneous")
"""What says that layers keep keys and values of different sizes, or share them."""

_EXPERTS_USED = ("num_experts_per_tok", "num_experts_per_token", "moe_topk", "moe_k")


def model_work(model: Any, *, split: int = 1) -> ModelWork:
    """Return what `model`, of transformers, or one rank's part of it, must read and compute at least.

    Every number is a lower bound: of experts only those one token meets are counted, of a table of embeddings
    nothing, unless it is also the output matrix.
    """
    config = text_config(model.config)
    read = list(_read_weights(model))
    share = _expert_share(config)
    output = model.get_output_embeddings()
    output_id = None if output is None else id(output.weight)
    return ModelWork(
        parameters=sum(weight.numel() for weight in model.parameters()),
        step_weight_bytes=round(sum(w.numel() * w.element_size() * _share(name, share) for name, w in read)),
        cache_token_bytes=cache_token_bytes(config, model.dtype.itemsize) // split,
        cache_window_tokens=_window(config),
        token_flop=round(
            sum(
                2 * weight.numel() * _share(name, share)
                for name, weight in read
                if weight.dim() > 1 and id(weight) != output_id
            )
        ),
    )


def cache_token_bytes(config: Any, item_bytes: int) -> int:
    """Return what the keys and values of one token take in all layers; 0 where that is not known.

    `config` is of the text decoder, `item_bytes` the size of one number.
    """
    layers = getattr(config, "num_hidden_layers", None)
    heads = getattr(config, "num_attention_heads", None)
    hidden = getattr(config, "hidden_size", None)
    if not layers or not heads or not hidden or getattr(config, "kv_lora_rank", None) or _is_mixed(config):
        return 0  # compressed, or unlike what is known: nothing is claimed
    narrow = getattr(config, "num_key_value_heads", None) or (
        1 if getattr(config, "multi_query", False) else heads
    )
    dimension = getattr(config, "head_dim", None) or hidden // heads
    return int(2 * layers * narrow * dimension * item_bytes)


def _read_weights(model: Any) -> Iterator[tuple[str, Any]]:
    """Yield the weights that a decode step reads whole, each once, by name."""
    import torch

    picked = {
        id(weight)
        for module in model.modules()
        if isinstance(module, torch.nn.Embedding)
        for weight in module.parameters(recurse=False)
    }
    output = model.get_output_embeddings()
    if output is not None:
        picked.discard(id(output.weight))
    for name, weight in model.named_parameters():
        if id(weight) not in picked:
            yield name, weight


def _expert_share(config: Any) -> float:
    total, used = (
        next((int(value) for name in names if (value := getattr(config, name, None))), None)
        for names in (_EXPERT_COUNTS, _EXPERTS_USED)
    )
    if not total:
        return 1.0
    return (used or 1) / total


def _share(name: str, of_experts: float) -> float:
    return of_experts if ".experts." in name else 1.0


def _is_mixed(config: Any) -> bool:
    """Say whether some layers keep no keys and values of each token, or not of the same size as others."""
    kinds: set[str] = set()
    for name in ("layer_types", "layers_block_type", "block_types"):
        kinds.update(getattr(config, name, None) or ())
    others = kinds - {"full_attention", "sliding_attention"}
    return bool(others) or any(getattr(config, name, None) for name in _UNEVEN)


def _window(config: Any) -> int | None:
    window = getattr(config, "sliding_window", None)
    return window if isinstance(window, int) and window > 0 else None
