"""A compact InternLM2-style decoder for transformers 5: fused grouped `wqkv`, rotary embedding, RMSNorm."""

from typing import Any

import torch
from torch import Tensor, nn
from transformers import DynamicCache, GenerationMixin, PreTrainedModel
from transformers.masking_utils import create_causal_mask
from transformers.modeling_outputs import BaseModelOutputWithPast, CausalLMOutputWithPast
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from .configuration_internlm2 import InternLM2Config


class InternLM2RMSNorm(nn.Module):
    """Scales a vector to root mean square one, in fp32, and then by learned weights."""

    def __init__(self, config: InternLM2Config) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(config.hidden_size))
        self.epsilon = config.rms_norm_eps

    def forward(self, hidden: Tensor) -> Tensor:
        """Return `hidden` normalized over its last dimension."""
        wide = hidden.float()
        scale = torch.rsqrt(wide.square().mean(-1, keepdim=True) + self.epsilon)
        return self.weight * (wide * scale).to(hidden.dtype)


def rotation(config: InternLM2Config, position_ids: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Return cosines and sines, each `[batch, 1, tokens, head_width]`, of the angles at `position_ids`."""
    width = config.hidden_size // config.num_attention_heads
    exponents = torch.arange(0, width, 2, device=position_ids.device, dtype=torch.float32) / width
    angles = position_ids[:, None, :, None].float() * config.rope_theta**-exponents
    angles = torch.cat((angles, angles), dim=-1)
    return angles.cos().to(dtype), angles.sin().to(dtype)


def rotate(heads: Tensor, cosines: Tensor, sines: Tensor) -> Tensor:
    """Rotate the pairs (i, i + width / 2) of every head vector."""
    first, second = heads.chunk(2, dim=-1)
    return heads * cosines + torch.cat((-second, first), dim=-1) * sines


def eager_attention(  # noqa: PLR0913
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    *,
    scaling: float,
    dropout: float = 0.0,
    **_: Any,
) -> tuple[Tensor, Tensor]:
    """Attention written out, for `attn_implementation="eager"`; the mask is added to the scores."""
    groups = query.shape[1] // key.shape[1]
    key = key.repeat_interleave(groups, dim=1)
    value = value.repeat_interleave(groups, dim=1)
    scores = query @ key.transpose(2, 3) * scaling
    if attention_mask is not None:
        scores = scores + attention_mask
    weights = scores.softmax(-1, dtype=torch.float32).to(query.dtype)
    weights = nn.functional.dropout(weights, p=dropout, training=module.training)
    return (weights @ value).transpose(1, 2).contiguous(), weights


class InternLM2Attention(nn.Module):
    """Grouped-query attention whose projections are fused in `wqkv`.

    The rows of `wqkv` are laid out by key-value head: its query heads, then its key, then its value.
    """

    def __init__(self, config: InternLM2Config, layer_idx: int) -> None:
        super().__init__()
        self.config = config
        self.layer_idx = layer_idx
        self.head_dim = config.hidden_size // config.num_attention_heads
        self.num_key_value_groups = config.num_attention_heads // config.num_key_value_heads
        self.scaling = self.head_dim**-0.5
        self.is_causal = True
        rows = (config.num_attention_heads + 2 * config.num_key_value_heads) * self.head_dim
        self.wqkv = nn.Linear(config.hidden_size, rows, bias=False)
        self.wo = nn.Linear(config.hidden_size, config.hidden_size, bias=False)

    def forward(
        self,
        hidden: Tensor,
        attention_mask: Tensor | None,
        rotations: tuple[Tensor, Tensor],
        past_key_values: Any,
        **options: Any,
    ) -> Tensor:
        """Return what every token of `hidden`, `[batch, tokens, hidden]`, reads from those before it."""
        query, key, value = self._split(self.wqkv(hidden))
        query, key = rotate(query, *rotations), rotate(key, *rotations)
        if past_key_values is not None:
            key, value = past_key_values.update(key, value, self.layer_idx)
        attention = ALL_ATTENTION_FUNCTIONS.get_interface(self.config._attn_implementation, eager_attention)
        read, _ = attention(
            self, query, key, value, attention_mask, dropout=0.0, scaling=self.scaling, **options
        )
        mixed: Tensor = self.wo(read.reshape(*hidden.shape[:-1], -1))
        return mixed

    def _split(self, fused: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return query, key and value as `[batch, heads, tokens, head_width]`."""
        batch, tokens, _ = fused.shape
        groups = self.num_key_value_groups
        fused = fused.view(batch, tokens, -1, groups + 2, self.head_dim)
        query, key, value = torch.split(fused, [groups, 1, 1], dim=3)
        query = query.reshape(batch, tokens, -1, self.head_dim)
        return query.transpose(1, 2), key.squeeze(3).transpose(1, 2), value.squeeze(3).transpose(1, 2)


class InternLM2FeedForward(nn.Module):
    """The gated feed-forward network: `w2(silu(w1(x)) * w3(x))`."""

    def __init__(self, config: InternLM2Config) -> None:
        super().__init__()
        self.w1 = nn.Linear(config.hidden_size, config.intermediate_size, bias=False)
        self.w3 = nn.Linear(config.hidden_size, config.intermediate_size, bias=False)
        self.w2 = nn.Linear(config.intermediate_size, config.hidden_size, bias=False)

    def forward(self, hidden: Tensor) -> Tensor:
        """Return the update of every token by itself."""
        update: Tensor = self.w2(nn.functional.silu(self.w1(hidden)) * self.w3(hidden))
        return update


class InternLM2DecoderLayer(nn.Module):
    """Attention and feed-forward, each behind a norm and added to its input."""

    def __init__(self, config: InternLM2Config, layer_idx: int) -> None:
        super().__init__()
        self.attention = InternLM2Attention(config, layer_idx)
        self.feed_forward = InternLM2FeedForward(config)
        self.attention_norm = InternLM2RMSNorm(config)
        self.ffn_norm = InternLM2RMSNorm(config)

    def forward(self, hidden: Tensor, *context: Any, **options: Any) -> Tensor:
        """Return `hidden` after this layer; `context` and `options` go to the attention."""
        hidden = hidden + self.attention(self.attention_norm(hidden), *context, **options)
        updated: Tensor = hidden + self.feed_forward(self.ffn_norm(hidden))
        return updated


class InternLM2PreTrainedModel(PreTrainedModel):  # type: ignore[misc]
    """What the framework needs to know of the models here."""

    config_class = InternLM2Config
    base_model_prefix = "model"
    _no_split_modules = ("InternLM2DecoderLayer",)
    _skip_keys_device_placement = ("past_key_values",)
    _supports_flash_attn = True
    _supports_sdpa = True
    _supports_flex_attn = True
    _supports_attention_backend = True


class InternLM2Model(InternLM2PreTrainedModel):
    """The decoder without its head."""

    def __init__(self, config: InternLM2Config) -> None:
        super().__init__(config)
        self.tok_embeddings = nn.Embedding(config.vocab_size, config.hidden_size)
        self.layers = nn.ModuleList(
            InternLM2DecoderLayer(config, index) for index in range(config.num_hidden_layers)
        )
        self.norm = InternLM2RMSNorm(config)
        self.post_init()

    def get_input_embeddings(self) -> nn.Embedding:
        """Return the token embedding."""
        return self.tok_embeddings

    def set_input_embeddings(self, value: nn.Embedding) -> None:
        """Replace the token embedding."""
        self.tok_embeddings = value

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        position_ids: Tensor | None = None,
        past_key_values: Any = None,
        inputs_embeds: Tensor | None = None,
        use_cache: bool | None = None,
        **options: Any,
    ) -> Any:
        """Return the last hidden state, `[batch, tokens, hidden]`, and the cache."""
        if (input_ids is None) == (inputs_embeds is None):
            raise ValueError("give either input_ids or inputs_embeds")
        hidden = self.tok_embeddings(input_ids) if inputs_embeds is None else inputs_embeds
        if use_cache is None:
            use_cache = self.config.use_cache
        if use_cache and past_key_values is None:
            past_key_values = DynamicCache(config=self.config)
        if position_ids is None:
            seen = 0 if past_key_values is None else past_key_values.get_seq_length()
            position_ids = torch.arange(seen, seen + hidden.shape[1], device=hidden.device)[None]
        mask = create_causal_mask(
            config=self.config,
            inputs_embeds=hidden,
            attention_mask=attention_mask,
            past_key_values=past_key_values,
            position_ids=position_ids,
        )
        rotations = rotation(self.config, position_ids, hidden.dtype)
        for layer in self.layers:
            hidden = layer(hidden, mask, rotations, past_key_values, **options)
        return BaseModelOutputWithPast(last_hidden_state=self.norm(hidden), past_key_values=past_key_values)


class InternLM2ForCausalLM(InternLM2PreTrainedModel, GenerationMixin):  # type: ignore[misc]
    """The decoder with its language-model head, `output`."""

    def __init__(self, config: InternLM2Config) -> None:
        super().__init__(config)
        self.model = InternLM2Model(config)
        self.output = nn.Linear(config.hidden_size, config.vocab_size, bias=False)
        self.post_init()

    def get_input_embeddings(self) -> nn.Embedding:
        """Return the token embedding."""
        return self.model.tok_embeddings

    def set_input_embeddings(self, value: nn.Embedding) -> None:
        """Replace the token embedding."""
        self.model.tok_embeddings = value

    def get_output_embeddings(self) -> nn.Linear:
        """Return the head."""
        return self.output

    def set_output_embeddings(self, new_embeddings: nn.Linear) -> None:
        """Replace the head."""
        self.output = new_embeddings

    def forward(  # noqa: PLR0913, PLR0917
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        position_ids: Tensor | None = None,
        past_key_values: Any = None,
        inputs_embeds: Tensor | None = None,
        use_cache: bool | None = None,
        logits_to_keep: int | Tensor = 0,
        **options: Any,
    ) -> Any:
        """Return the logits, `[batch, tokens, vocabulary]`, and the cache.

        `logits_to_keep` limits the tokens to the last so many (0: all), or to those of an index tensor.
        """
        outputs = self.model(
            input_ids=input_ids,
            attention_mask=attention_mask,
            position_ids=position_ids,
            past_key_values=past_key_values,
            inputs_embeds=inputs_embeds,
            use_cache=use_cache,
            **options,
        )
        kept = slice(-logits_to_keep, None) if isinstance(logits_to_keep, int) else logits_to_keep
        return CausalLMOutputWithPast(
            logits=self.output(outputs.last_hidden_state[:, kept, :]),
            past_key_values=outputs.past_key_values,
        )
