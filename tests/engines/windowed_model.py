"""A small model whose attention reaches a few tokens back only."""

import torch
from transformers import MistralConfig, MistralForCausalLM


def windowed_model() -> MistralForCausalLM:
    """Return a seeded model of 200 tokens whose attention reaches 25 tokens back."""
    torch.manual_seed(0)
    config = MistralConfig(
        vocab_size=200,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        sliding_window=25,
        initializer_range=0.3,
    )
    return MistralForCausalLM(config).eval()
