"""Tiny random checkpoints of many causal families, made from transformers' own config classes.

Every family has few layers of a small hidden size, the demo models' tokenizer, and limits (windows, chunks,
trained lengths of rope scaling) so small that prompts of a few dozen tokens lie on both sides of them.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from modeltest.demo.families import FAMILY_BY_NAME, VOCABULARY_SIZE

LIMIT = 32
"""The window, chunk or trained length of every family that has one, in tokens."""

CONTEXT = 512
GAIN = 1.5
"""How much larger than in training weights are: attention is uneven, and an error shows in the logits."""

SMALL: Mapping[str, Any] = {
    "vocab_size": VOCABULARY_SIZE,
    "bos_token_id": 0,
    "eos_token_id": 1,
    "pad_token_id": 2,
    # widths
    **dict.fromkeys(
        ("hidden_size", "n_embd", "d_model", "emb_dim", "embedding_dim", "word_embed_proj_dim"), 64
    ),
    **dict.fromkeys(("intermediate_size", "ffn_dim", "dff", "ffn_hidden_size", "d_inner", "n_inner"), 96),
    **dict.fromkeys(("num_hidden_layers", "n_layer", "n_layers", "num_layers"), 2),
    **dict.fromkeys(
        (
            "num_attention_heads",
            "n_head",
            "n_heads",
            "num_heads",
            "attention_heads",
            "decoder_attention_heads",
        ),
        4,
    ),
    **dict.fromkeys(("num_key_value_heads", "num_kv_heads"), 2),
    **dict.fromkeys(("head_dim", "kv_channels", "attention_head_dim"), 16),
    # lengths
    **dict.fromkeys(
        (
            "max_position_embeddings",
            "n_positions",
            "n_ctx",
            "max_seq_len",
            "context_length",
            "model_max_length",
        ),
        CONTEXT,
    ),
    **dict.fromkeys(
        ("sliding_window", "attention_chunk_size", "attention_window_size", "window_size"), LIMIT
    ),
    # experts
    **dict.fromkeys(("num_experts", "num_local_experts", "n_routed_experts", "moe_num_experts"), 4),
    **dict.fromkeys(("num_experts_per_tok", "moe_topk", "moe_k"), 2),
    **dict.fromkeys(
        ("n_group", "topk_group", "num_expert_group", "n_shared_experts", "num_shared_experts"), 1
    ),
    **dict.fromkeys(
        (
            "moe_intermediate_size",
            "shared_expert_intermediate_size",
            "moe_shared_expert_intermediate_size",
            "shared_intermediate_size",
            "expert_ffn_hidden_size",
        ),
        32,
    ),
    "first_k_dense_replace": 1,
    "num_dense_layers": 1,
    # compressed keys and values
    "q_lora_rank": 24,
    "kv_lora_rank": 24,
    "qk_nope_head_dim": 16,
    "qk_rope_head_dim": 8,
    "v_head_dim": 16,
    # state spaces and linear attention
    **dict.fromkeys(("mamba_d_state", "state_size", "ssm_state_size"), 8),
    **dict.fromkeys(("mamba_n_heads", "mamba_num_heads", "n_mamba_heads"), 8),
    **dict.fromkeys(("mamba_d_head", "mamba_head_dim", "mamba_headdim"), 16),
    **dict.fromkeys(("mamba_n_groups", "mamba_ngroups", "n_groups"), 1),
    **dict.fromkeys(("chunk_size", "mamba_chunk_size", "block_size"), 16),
    **dict.fromkeys(("time_step_rank", "mamba_dt_rank"), 8),
    **dict.fromkeys(("linear_key_head_dim", "linear_value_head_dim", "linear_head_dim"), 16),
    **dict.fromkeys(("linear_num_key_heads", "linear_num_value_heads", "linear_num_heads"), 4),
    **dict.fromkeys(("attention_hidden_size", "lru_width"), 64),
}
"""What a config's fields become, where it has them; `Family.changes` come after."""


@dataclass(frozen=True, slots=True)
class Family:
    """A tiny checkpoint: the config class by `model_type`, and what differs from `SMALL`."""

    name: str
    model_type: str
    changes: Mapping[str, Any] = field(default_factory=dict)
    own: frozenset[str] = frozenset()
    """Fields of `SMALL` that the config class computes itself."""

    limit: int = LIMIT
    """Prompts lie on both sides of this many tokens."""

    is_nested: bool = False
    """The language model's fields are those of `text_config`."""

    stretched_to: int | None = None
    """The context that a run asks for, `None` for the checkpoint's own."""

    demo: str | None = None
    """The demo model this is, where it is one: with code of its own."""


def _same(*names: str) -> Iterator[Family]:
    for name in names:
        yield Family(name, name.replace("modernbert_decoder", "modernbert-decoder"))


_COMPRESSED = {"num_key_value_heads": 4, "head_dim": 8}
"""As many heads of keys as of queries; `head_dim` is what positions rotate."""


def _compressed(*names: str) -> Iterator[Family]:
    for name in names:
        yield Family(name, name, _COMPRESSED)


def _rope(name: str, model_type: str = "llama", **parameters: Any) -> Family:
    changes = {"rope_parameters": {"rope_theta": 10000.0, **parameters}}
    return Family(name, model_type, changes)


_SMALL_VISION = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
_LAYERS = "num_hidden_layers"
_SLIDING_THEN_FULL = ["sliding_attention", "full_attention"]

_ATTENTION_OF_ZAMBA = frozenset({"head_dim", "attention_head_dim", "kv_channels", "attention_hidden_size"})

FAMILIES: tuple[Family, ...] = (
    # Dense, with rotary positions.
    *_same("llama", "arcee", "apertus", "cwm", "granite", "helium", "hunyuan_v1_dense", "olmo", "olmo2"),
    *_same("seed_oss", "ernie4_5", "nanochat", "gemma", "diffllama", "bitnet", "starcoder2"),
    Family("smollm3", "smollm3", {_LAYERS: 4}),
    Family("qwen2", "qwen2"),
    Family("qwen2_window", "qwen2", {"use_sliding_window": True, "max_window_layers": 1}),
    Family("qwen3", "qwen3"),
    Family("llama_mqa", "llama", {"num_key_value_heads": 1}),
    Family("llama_tied", "llama", {"tie_word_embeddings": True, "num_key_value_heads": 4}),
    # Every kind of rope scaling.
    _rope("llama_linear", rope_type="linear", factor=4.0),
    Family(
        "llama_dynamic",
        "llama",
        {
            "rope_parameters": {"rope_theta": 10000.0, "rope_type": "dynamic", "factor": 8.0},
            "max_position_embeddings": LIMIT,
        },
        stretched_to=CONTEXT,
    ),
    _rope("llama_yarn", rope_type="yarn", factor=8.0, original_max_position_embeddings=LIMIT),
    _rope(
        "llama_llama3",
        rope_type="llama3",
        factor=8.0,
        low_freq_factor=1.0,
        high_freq_factor=4.0,
        original_max_position_embeddings=LIMIT,
    ),
    Family(
        "phi3_longrope",
        "phi3",
        {
            "original_max_position_embeddings": LIMIT,
            "rope_parameters": {
                "rope_theta": 10000.0,
                "rope_type": "longrope",
                "short_factor": [1.0 + 0.05 * i for i in range(8)],
                "long_factor": [2.0 + 1.5 * i for i in range(8)],
                "original_max_position_embeddings": LIMIT,
            },
        },
    ),
    Family(
        "phimoe_longrope",
        "phimoe",
        {
            "original_max_position_embeddings": LIMIT,
            "rope_parameters": {
                "rope_theta": 10000.0,
                "rope_type": "longrope",
                "short_factor": [1.0 + 0.05 * i for i in range(8)],
                "long_factor": [2.0 + 1.5 * i for i in range(8)],
                "short_mscale": 1.1,
                "long_mscale": 1.3,
                "original_max_position_embeddings": LIMIT,
            },
        },
    ),
    # Partial rotary positions, parallel residuals.
    *_same(
        "phi3", "glm", "glm4", "stablelm", "persimmon", "phi", "nemotron", "gpt_neox", "gpt_neox_japanese"
    ),
    Family("gptj", "gptj", {"rotary_dim": 8}),
    Family("codegen", "codegen", {"rotary_dim": 8}),
    Family("cohere", "cohere", {"logit_scale": 1.0}),
    *_same("falcon"),
    Family("falcon_new", "falcon", {"new_decoder_architecture": True, "num_kv_heads": 2}),
    # Learned positions, alibi and others.
    *_same("gpt2", "gpt_bigcode", "opt", "biogpt", "bloom", "mpt", "xglm", "openai-gpt"),
    Family("gpt_neo", "gpt_neo", {"attention_types": [[["global", "local"], 1]]}),
    Family("falcon_alibi", "falcon", {"alibi": True, "new_decoder_architecture": False}),
    # Windows and chunks.
    *_same("mistral", "ministral", "gpt_oss"),
    Family("cohere2", "cohere2", {"logit_scale": 1.0, "layer_types": _SLIDING_THEN_FULL}),
    Family("gemma2", "gemma2", {"layer_types": _SLIDING_THEN_FULL, "query_pre_attn_scalar": 16}),
    Family("vaultgemma", "vaultgemma", {"layer_types": _SLIDING_THEN_FULL, "query_pre_attn_scalar": 16}),
    Family("gemma3_text", "gemma3_text", {"layer_types": _SLIDING_THEN_FULL, "query_pre_attn_scalar": 16}),
    Family(
        "gemma3n_text",
        "gemma3n_text",
        {
            _LAYERS: 4,
            "num_kv_shared_layers": 2,
            "layer_types": _SLIDING_THEN_FULL * 2,
            "vocab_size_per_layer_input": VOCABULARY_SIZE,
            "hidden_size_per_layer_input": 16,
            "laurel_rank": 8,
            "activation_sparsity_pattern": [0.5, 0.0, 0.0, 0.0],
            "intermediate_size": [96] * 4,
        },
    ),
    Family(
        "gemma4_text",
        "gemma4_text",
        {
            "layer_types": _SLIDING_THEN_FULL,
            "vocab_size_per_layer_input": VOCABULARY_SIZE,
            "hidden_size_per_layer_input": 16,
            "per_layer_config": {},
        },
    ),
    Family("olmo3", "olmo3", {"layer_types": _SLIDING_THEN_FULL}),
    Family("exaone4", "exaone4", {"layer_types": _SLIDING_THEN_FULL}),
    Family(
        "modernbert_decoder", "modernbert-decoder", {"layer_types": _SLIDING_THEN_FULL, "local_attention": 64}
    ),
    Family(
        "llama4_text",
        "llama4_text",
        {
            _LAYERS: 4,
            "intermediate_size_mlp": 96,
            "num_experts_per_tok": 1,
            "floor_scale": 16,
            "layer_types": ["chunked_attention", "chunked_attention", "chunked_attention", "full_attention"],
            "no_rope_layers": [1, 1, 1, 0],
            "moe_layers": [0, 2],
        },
    ),
    # Experts.
    *_same("mixtral", "qwen2_moe", "qwen3_moe", "olmoe", "granitemoe", "granitemoeshared", "jetmoe", "dots1"),
    *_same("ernie4_5_moe", "glm4_moe", "hunyuan_v1_moe", "minimax_m2", "flex_olmo"),
    Family("afmoe", "afmoe", {"layer_types": _SLIDING_THEN_FULL}),
    Family("cohere2_moe", "cohere2_moe", {"logit_scale": 1.0, "layer_types": _SLIDING_THEN_FULL}),
    # Compressed keys and values.
    *_compressed("deepseek_v2", "deepseek_v3", "glm4_moe_lite", "minicpm3", "youtu"),
    Family("longcat_flash", "longcat_flash", {**_COMPRESSED, "zero_expert_num": 2}),
    # State spaces, recurrent and hybrid models.
    Family("mamba", "mamba", {"intermediate_size": 128}),
    Family("mamba2", "mamba2", {"num_heads": 8}),
    Family("falcon_mamba", "falcon_mamba", {"intermediate_size": 128}),
    Family("rwkv", "rwkv"),
    Family(
        "xlstm",
        "xlstm",
        {"num_blocks": 2, "ffn_round_up_to_multiple_of": 16, "qk_dim_factor": 1.0},
        frozenset({"head_dim", "v_head_dim", "chunk_size"}),
    ),
    Family("recurrent_gemma", "recurrent_gemma", {_LAYERS: 3}),
    Family("jamba", "jamba", {_LAYERS: 4, "attn_layer_period": 2, "attn_layer_offset": 1}),
    Family("bamba", "bamba", {_LAYERS: 4, "attn_layer_indices": [1, 3]}),
    Family("falcon_h1", "falcon_h1", {"mamba_d_ssm": 128}),
    Family(
        "zamba",
        "zamba",
        {
            _LAYERS: 6,
            "layers_block_type": ["linear_attention", "linear_attention", "hybrid"] * 2,
            "n_mamba_heads": 2,
            "num_key_value_heads": 4,
        },
        _ATTENTION_OF_ZAMBA,
    ),
    Family(
        "zamba2",
        "zamba2",
        {
            _LAYERS: 6,
            "layers_block_type": ["linear_attention", "linear_attention", "hybrid"] * 2,
            "adapter_rank": 8,
            "num_key_value_heads": 4,
        },
        _ATTENTION_OF_ZAMBA,
    ),
    Family("nemotron_h", "nemotron_h"),
    Family(
        "granitemoehybrid",
        "granitemoehybrid",
        {_LAYERS: 2, "layer_types": ["linear_attention", "full_attention"]},
    ),
    Family("qwen3_next", "qwen3_next", {"layer_types": ["linear_attention", "full_attention"]}),
    Family("olmo_hybrid", "olmo_hybrid", {"layer_types": ["linear_attention", "full_attention"]}),
    Family("minimax", "minimax", {"layer_types": ["linear_attention", "full_attention"]}),
    Family("lfm2", "lfm2", {"layer_types": ["conv", "full_attention"]}),
    Family("lfm2_moe", "lfm2_moe", {"layer_types": ["conv", "full_attention"]}),
    Family(
        "kimi_linear", "kimi_linear", {**_COMPRESSED, "layer_types": ["linear_attention", "full_attention"]}
    ),
    # The language model is a part of something larger.
    Family(
        "gemma3", "gemma3", {"layer_types": _SLIDING_THEN_FULL, "query_pre_attn_scalar": 16}, is_nested=True
    ),
    Family(
        "gemma4",
        "gemma4",
        {
            "layer_types": _SLIDING_THEN_FULL,
            "vocab_size_per_layer_input": VOCABULARY_SIZE,
            "hidden_size_per_layer_input": 16,
            "per_layer_config": {},
        },
        is_nested=True,
    ),
    Family(
        "llama4",
        "llama4",
        {
            _LAYERS: 4,
            "intermediate_size_mlp": 96,
            "num_experts_per_tok": 1,
            "floor_scale": 16,
            "layer_types": ["chunked_attention", "chunked_attention", "chunked_attention", "full_attention"],
            "no_rope_layers": [1, 1, 1, 0],
            "moe_layers": [0, 2],
        },
        is_nested=True,
    ),
    Family("mllama", "mllama", {"cross_attention_layers": [1]}, is_nested=True),
    Family("qwen3_5", "qwen3_5", {"layer_types": ["linear_attention", "full_attention"]}, is_nested=True),
    Family(
        "qwen3_5_moe", "qwen3_5_moe", {"layer_types": ["linear_attention", "full_attention"]}, is_nested=True
    ),
    # Code that comes with the checkpoint.
    Family("internlm2", "internlm2", demo="internlm2"),
)

FAMILY_BY_FAMILY_NAME: Mapping[str, Family] = {family.name: family for family in FAMILIES}


def build(family: Family, directory: Path, *, seed: int = 0) -> Path:
    """Write a tiny checkpoint of `family` into `directory`, once, and return the directory."""
    if directory.exists():
        return directory
    if family.demo is not None:
        from modeltest.demo.build import build_demo_model

        return build_demo_model(family.demo, directory)
    import torch
    from transformers import AutoModelForCausalLM

    config = small_config(family)
    torch.manual_seed(seed)
    model = AutoModelForCausalLM.from_config(config, dtype=torch.float32).eval()
    enlarge(model, seed=seed)
    model.save_pretrained(directory)
    # The whole config where the language model is a part of it: that is what a published folder holds.
    config.architectures = model.config.architectures or [type(model).__name__]
    config.dtype = torch.float32
    config.save_pretrained(directory)
    (directory / "generation_config.json").write_text(
        json.dumps({"bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 2})
    )
    for name, content in _tokenizer(family).items():
        (directory / name).write_text(json.dumps(content))
    return directory


def small_config(family: Family) -> Any:
    """Return the tiny config of `family`."""
    from transformers import AutoConfig

    known = AutoConfig.for_model(family.model_type)
    inner = known.get_text_config() if family.is_nested else known
    fields = {name: value for name, value in SMALL.items() if _has(inner, name) and name not in family.own}
    if not family.is_nested:
        return AutoConfig.for_model(family.model_type, **{**fields, **family.changes})
    outer = {name: value for name, value in SMALL.items() if name.endswith("_token_id") and _has(known, name)}
    if "vision_config" in known.to_dict():
        outer["vision_config"] = _SMALL_VISION
    return AutoConfig.for_model(family.model_type, text_config={**fields, **family.changes}, **outer)


def _has(config: Any, name: str) -> bool:
    return name in config.to_dict() or name in getattr(config, "attribute_map", {})


def enlarge(model: Any, *, seed: int) -> None:
    """Redraw the matrices of `model` so that its logits differ clearly; what is not one keeps its values."""
    import torch

    generator = torch.Generator().manual_seed(seed)
    embeddings = model.get_input_embeddings().weight
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if weight is embeddings:
                weight.copy_(0.3 * torch.randn(weight.shape, generator=generator))
            elif weight.dim() >= 2 and not name.endswith("A_log"):
                scale = GAIN / math.sqrt(weight.shape[-1])
                weight.copy_(scale * torch.randn(weight.shape, generator=generator))
            elif name.endswith("bias") and "dt_" not in name:
                weight.copy_(0.05 * torch.randn(weight.shape, generator=generator))


def _tokenizer(family: Family) -> Mapping[str, Mapping[str, Any]]:
    """Return the files of a tokenizer; for a qwen transformers has text rules of its own."""
    return _tokenizer_of("qwen2" if family.model_type.startswith(("qwen2", "qwen3_5")) else "llama")


@cache
def _tokenizer_of(demo: str) -> Mapping[str, Mapping[str, Any]]:
    from modeltest.demo.corpus import sample_texts
    from modeltest.demo.tokenizer import tokenizer_files

    return tokenizer_files(FAMILY_BY_NAME[demo], sample_texts())
