"""Configuration of the InternLM2-style decoder beside this file."""

from transformers import PretrainedConfig


class InternLM2Config(PretrainedConfig):  # type: ignore[misc]
    """Shapes of the decoder; key-value heads default to the attention heads."""

    model_type = "internlm2"
    keys_to_ignore_at_inference = ("past_key_values",)

    def __init__(  # noqa: PLR0913
        self,
        *,
        vocab_size: int = 1536,
        hidden_size: int = 64,
        intermediate_size: int = 128,
        num_hidden_layers: int = 2,
        num_attention_heads: int = 4,
        num_key_value_heads: int | None = None,
        max_position_embeddings: int = 8192,
        initializer_range: float = 0.02,
        rms_norm_eps: float = 1e-5,
        rope_theta: float = 10000.0,
        use_cache: bool = True,
        **options: object,
    ) -> None:
        self.vocab_size = vocab_size
        self.hidden_size = hidden_size
        self.intermediate_size = intermediate_size
        self.num_hidden_layers = num_hidden_layers
        self.num_attention_heads = num_attention_heads
        self.num_key_value_heads = num_key_value_heads or num_attention_heads
        self.max_position_embeddings = max_position_embeddings
        self.initializer_range = initializer_range
        self.rms_norm_eps = rms_norm_eps
        self.rope_theta = rope_theta
        self.use_cache = use_cache
        super().__init__(**options)
