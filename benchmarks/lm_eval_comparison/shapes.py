"""The models that are compared on: shapes of Llama with random weights, known without torch."""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass
from typing import Any

VOCABULARY_SIZE = 32_000
CONTEXT_TOKENS = 8192
SEED = 0

END_OF_TEXT = "<|endoftext|>"
END_OF_TEXT_ID = 0

ANSWERS = (" A", " B", " C", " D", " yes", " no")
"""Each must be one token: the log-probabilities of all choices are then read from one position."""


@dataclass(frozen=True, slots=True)
class Shape:
    """A Llama: grouped-query attention, gated feed-forward layers, tied embeddings."""

    name: str
    hidden: int
    layers: int
    heads: int
    key_value_heads: int
    intermediate: int

    @property
    def head_dimension(self) -> int:
        """The size of one attention head."""
        return self.hidden // self.heads

    @property
    def layer_matrices(self) -> dict[str, tuple[int, int]]:
        """Every weight matrix of one layer by its name in the checkpoint: `(out, in)`."""
        narrow = self.key_value_heads * self.head_dimension
        return {
            "self_attn.q_proj": (self.hidden, self.hidden),
            "self_attn.k_proj": (narrow, self.hidden),
            "self_attn.v_proj": (narrow, self.hidden),
            "self_attn.o_proj": (self.hidden, self.hidden),
            "mlp.gate_proj": (self.intermediate, self.hidden),
            "mlp.up_proj": (self.intermediate, self.hidden),
            "mlp.down_proj": (self.hidden, self.intermediate),
        }

    @property
    def non_embedding_parameters(self) -> int:
        """The parameters of all layers' matrices and of the norms."""
        matrices = sum(rows * columns for rows, columns in self.layer_matrices.values())
        return self.layers * (matrices + 2 * self.hidden) + self.hidden

    @property
    def parameters(self) -> int:
        """All parameters; the embeddings are also the output matrix and count once."""
        return self.non_embedding_parameters + VOCABULARY_SIZE * self.hidden

    @property
    def config(self) -> dict[str, Any]:
        """The content of config.json."""
        return {
            "architectures": ["LlamaForCausalLM"],
            "model_type": "llama",
            "hidden_size": self.hidden,
            "intermediate_size": self.intermediate,
            "num_hidden_layers": self.layers,
            "num_attention_heads": self.heads,
            "num_key_value_heads": self.key_value_heads,
            "head_dim": self.head_dimension,
            "vocab_size": VOCABULARY_SIZE,
            "max_position_embeddings": CONTEXT_TOKENS,
            "rms_norm_eps": 1e-5,
            "rope_theta": 10_000.0,
            "hidden_act": "silu",
            "attention_bias": False,
            "mlp_bias": False,
            "tie_word_embeddings": True,
            "bos_token_id": END_OF_TEXT_ID,
            "eos_token_id": END_OF_TEXT_ID,
            "torch_dtype": "float32",  # what transformers 4 reads
            "dtype": "float32",
        }

    def fingerprint(self, *more: str) -> str:
        """Return eight digits that change with the shape, the seed and the texts of `more`."""
        content = repr((asdict(self), VOCABULARY_SIZE, CONTEXT_TOKENS, SEED, more))
        return hashlib.sha256(content.encode()).hexdigest()[:8]


SHAPES = {
    shape.name: shape
    for shape in (
        Shape("15M", hidden=256, layers=8, heads=4, key_value_heads=2, intermediate=768),
        Shape("135M", hidden=576, layers=30, heads=9, key_value_heads=3, intermediate=1536),
        # Too small to say anything about speed: to try the command.
        Shape("2M", hidden=64, layers=2, heads=4, key_value_heads=2, intermediate=128),
    )
}
