"""Tiny models with what the demo families lack, and rows to ask them."""

from collections.abc import Callable
from typing import Any

import pytest

TOKENS = 160
SIZES = {
    "vocab_size": 1536,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "max_position_embeddings": 512,
    "pad_token_id": 0,
}
OTHERS: dict[str, dict[str, Any]] = {
    "mistral": {"sliding_window": 48},
    "gemma2": {"final_logit_softcapping": 4.0, "attn_logit_softcapping": 2.0, "sliding_window": 48},
    "mixtral": {"num_local_experts": 4, "num_experts_per_tok": 2},
    "qwen3": {},
}
"""Made with the classes of transformers: windows, caps, experts, norms of queries and keys."""


@pytest.fixture(scope="session")
def tiny(demo_model: Callable[[str], Any]) -> Callable[[str], Any]:
    """Return a function from a family to a model in float32; leave it as it was."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    known: dict[str, Any] = {}

    def random_weights(family: str) -> Any:
        config = AutoConfig.for_model(family, **SIZES, **OTHERS[family])
        torch.manual_seed(0)
        model = AutoModelForCausalLM.from_config(config)
        with torch.no_grad():
            for parameter in model.parameters():
                # As wide as the demo models': with what training starts from all tokens are nearly alike.
                parameter.add_(torch.rand_like(parameter) - 0.5, alpha=0.7)
        return model

    def load(family: str) -> Any:
        if family not in known:
            is_other = family in OTHERS
            model = (
                random_weights(family)
                if is_other
                else AutoModelForCausalLM.from_pretrained(demo_model(family))
            )
            known[family] = model.float().eval()
        return known[family]

    return load


@pytest.fixture
def rows(tiny: Callable[[str], Any]) -> Any:
    """Return two rows of token ids, `[2, TOKENS]`, that every model here has."""
    import torch

    return torch.randint(5, SIZES["vocab_size"], (2, TOKENS), generator=torch.Generator().manual_seed(3))
