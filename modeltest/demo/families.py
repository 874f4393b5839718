"""The demo models as data: config, weights and special tokens of each family.

Names and shapes follow the families' published checkpoints, so that any loader of the family reads them.
Linear weights are `[out, in]`, except gpt2's, which that family stores transposed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

CONTEXT_TOKENS = 8192
VOCABULARY_SIZE = 1536
WEIGHT_SD = 0.2
"""Ten times what models start training from: attention gets sharp and probabilities uneven."""

BIAS_SD = 0.02
ATTENTION_GAIN = 8.0
"""How much larger attention's output weights are than others. With less of it, and with larger biases, the
last token of the prompt outweighs what is read from the others, and one answer wins whatever the question."""

LAYERS = 2
HIDDEN = 64
HEADS = 4
HEAD_WIDTH = 16
KV_HEADS = 2
KV = KV_HEADS * HEAD_WIDTH
FEED_FORWARD = 128
ROPE_BASE = 10000.0
NORM_EPSILON = 1e-5

Shape = tuple[int, ...]
ConfigValue = str | int | float | bool | None | list[str] | dict[str, str]


@dataclass(frozen=True, slots=True)
class Specials:
    """The special tokens. `bos` is `None` for a tokenizer that puts nothing before a text."""

    eos: str
    pad: str
    bos: str | None = None
    turn_start: str = "<|im_start|>"
    turn_end: str = "<|im_end|>"

    @property
    def tokens(self) -> tuple[str, ...]:
        """All of them; a token's id is its place here."""
        first = () if self.bos is None else (self.bos,)
        return (*first, self.eos, self.pad, self.turn_start, self.turn_end)


@dataclass(frozen=True, slots=True)
class Family:
    """How a checkpoint of one family looks. `{layer}` in a name stands for the number of each layer."""

    config: Mapping[str, ConfigValue]
    specials: Specials
    weights: Mapping[str, Shape]
    norms: tuple[str, ...]
    """Norm weights, of shape `[HIDDEN]`; they all are `norm_value`."""

    attention_output: str
    """The end of the names of the weights that `ATTENTION_GAIN` applies to."""

    norm_value: float = 1.0
    qwen2_text_rules: bool = False
    """Whether text is normalized and split as qwen2's tokenizer does."""

    turn_end_stops: bool = False
    """Whether generation ends at the end of a turn too, as with published chat models."""

    remote_code: tuple[str, ...] = ()
    """The files of `modeltest/demo/remote_code` that the checkpoint carries."""

    def all_weights(self) -> Iterator[tuple[str, Shape]]:
        """Yield name and shape of every random weight, always in the same order."""
        return _per_layer(self.weights.items())

    def all_norms(self) -> Iterator[tuple[str, Shape]]:
        """Yield name and shape of every norm weight."""
        return _per_layer((name, (HIDDEN,)) for name in self.norms)

    def sd_of(self, name: str) -> float:
        """Return the standard deviation of the random weight `name`."""
        if name.endswith(self.attention_output):
            return WEIGHT_SD * ATTENTION_GAIN
        return BIAS_SD if name.endswith(".bias") else WEIGHT_SD


def _per_layer(weights: Iterable[tuple[str, Shape]]) -> Iterator[tuple[str, Shape]]:
    for name, shape in weights:
        if "{layer}" in name:
            yield from ((name.replace("{layer}", str(layer)), shape) for layer in range(LAYERS))
        else:
            yield name, shape


_END_OF_TEXT = Specials(eos="<|endoftext|>", pad="<|padding|>")
_SENTENCE = Specials(eos="</s>", pad="<pad>", bos="<s>")

_DECODER_CONFIG: Mapping[str, ConfigValue] = {
    "hidden_size": HIDDEN,
    "intermediate_size": FEED_FORWARD,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": HEADS,
    "num_key_value_heads": KV_HEADS,
    "max_position_embeddings": CONTEXT_TOKENS,
    "initializer_range": WEIGHT_SD,
    "rms_norm_eps": NORM_EPSILON,
    "rope_theta": ROPE_BASE,
    "hidden_act": "silu",
    "tie_word_embeddings": False,
    "use_cache": True,
}

_LLAMA_WEIGHTS: Mapping[str, Shape] = {
    "model.embed_tokens.weight": (VOCABULARY_SIZE, HIDDEN),
    "model.layers.{layer}.self_attn.q_proj.weight": (HIDDEN, HIDDEN),
    "model.layers.{layer}.self_attn.k_proj.weight": (KV, HIDDEN),
    "model.layers.{layer}.self_attn.v_proj.weight": (KV, HIDDEN),
    "model.layers.{layer}.self_attn.o_proj.weight": (HIDDEN, HIDDEN),
    "model.layers.{layer}.mlp.gate_proj.weight": (FEED_FORWARD, HIDDEN),
    "model.layers.{layer}.mlp.up_proj.weight": (FEED_FORWARD, HIDDEN),
    "model.layers.{layer}.mlp.down_proj.weight": (HIDDEN, FEED_FORWARD),
    "lm_head.weight": (VOCABULARY_SIZE, HIDDEN),
}

_LLAMA_NORMS = (
    "model.layers.{layer}.input_layernorm.weight",
    "model.layers.{layer}.post_attention_layernorm.weight",
    "model.norm.weight",
)

_LLAMA_ATTENTION_OUTPUT = "self_attn.o_proj.weight"

_GPT2 = Family(
    config={
        "model_type": "gpt2",
        "architectures": ["GPT2LMHeadModel"],
        "n_embd": HIDDEN,
        "n_inner": FEED_FORWARD,
        "n_layer": LAYERS,
        "n_head": HEADS,
        "n_positions": CONTEXT_TOKENS,
        "n_ctx": CONTEXT_TOKENS,
        "activation_function": "gelu_new",
        "initializer_range": WEIGHT_SD,
        "layer_norm_epsilon": NORM_EPSILON,
        "attn_pdrop": 0.0,
        "embd_pdrop": 0.0,
        "resid_pdrop": 0.0,
        "tie_word_embeddings": True,
        "use_cache": True,
    },
    specials=_END_OF_TEXT,
    weights={
        "transformer.wte.weight": (VOCABULARY_SIZE, HIDDEN),
        "transformer.wpe.weight": (CONTEXT_TOKENS, HIDDEN),
        "transformer.h.{layer}.ln_1.bias": (HIDDEN,),
        "transformer.h.{layer}.attn.c_attn.weight": (HIDDEN, 3 * HIDDEN),
        "transformer.h.{layer}.attn.c_attn.bias": (3 * HIDDEN,),
        "transformer.h.{layer}.attn.c_proj.weight": (HIDDEN, HIDDEN),
        "transformer.h.{layer}.attn.c_proj.bias": (HIDDEN,),
        "transformer.h.{layer}.ln_2.bias": (HIDDEN,),
        "transformer.h.{layer}.mlp.c_fc.weight": (HIDDEN, FEED_FORWARD),
        "transformer.h.{layer}.mlp.c_fc.bias": (FEED_FORWARD,),
        "transformer.h.{layer}.mlp.c_proj.weight": (FEED_FORWARD, HIDDEN),
        "transformer.h.{layer}.mlp.c_proj.bias": (HIDDEN,),
        "transformer.ln_f.bias": (HIDDEN,),
    },
    norms=(
        "transformer.h.{layer}.ln_1.weight",
        "transformer.h.{layer}.ln_2.weight",
        "transformer.ln_f.weight",
    ),
    attention_output="attn.c_proj.weight",
)

_GPT_NEOX = Family(
    config={
        "model_type": "gpt_neox",
        "architectures": ["GPTNeoXForCausalLM"],
        "hidden_size": HIDDEN,
        "intermediate_size": FEED_FORWARD,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": HEADS,
        "max_position_embeddings": CONTEXT_TOKENS,
        "initializer_range": WEIGHT_SD,
        "layer_norm_eps": NORM_EPSILON,
        "rotary_emb_base": ROPE_BASE,
        "rotary_pct": 0.25,
        "hidden_act": "gelu",
        "use_parallel_residual": True,
        "tie_word_embeddings": False,
        "use_cache": True,
    },
    specials=_END_OF_TEXT,
    weights={
        "gpt_neox.embed_in.weight": (VOCABULARY_SIZE, HIDDEN),
        "gpt_neox.layers.{layer}.input_layernorm.bias": (HIDDEN,),
        "gpt_neox.layers.{layer}.attention.query_key_value.weight": (3 * HIDDEN, HIDDEN),
        "gpt_neox.layers.{layer}.attention.query_key_value.bias": (3 * HIDDEN,),
        "gpt_neox.layers.{layer}.attention.dense.weight": (HIDDEN, HIDDEN),
        "gpt_neox.layers.{layer}.attention.dense.bias": (HIDDEN,),
        "gpt_neox.layers.{layer}.post_attention_layernorm.bias": (HIDDEN,),
        "gpt_neox.layers.{layer}.mlp.dense_h_to_4h.weight": (FEED_FORWARD, HIDDEN),
        "gpt_neox.layers.{layer}.mlp.dense_h_to_4h.bias": (FEED_FORWARD,),
        "gpt_neox.layers.{layer}.mlp.dense_4h_to_h.weight": (HIDDEN, FEED_FORWARD),
        "gpt_neox.layers.{layer}.mlp.dense_4h_to_h.bias": (HIDDEN,),
        "gpt_neox.final_layer_norm.bias": (HIDDEN,),
        "embed_out.weight": (VOCABULARY_SIZE, HIDDEN),
    },
    norms=(
        "gpt_neox.layers.{layer}.input_layernorm.weight",
        "gpt_neox.layers.{layer}.post_attention_layernorm.weight",
        "gpt_neox.final_layer_norm.weight",
    ),
    attention_output="attention.dense.weight",
)

_GEMMA = Family(
    config={
        **_DECODER_CONFIG,
        "model_type": "gemma",
        "architectures": ["GemmaForCausalLM"],
        "num_key_value_heads": 1,
        "head_dim": HEAD_WIDTH,
        "hidden_act": "gelu_pytorch_tanh",
        "tie_word_embeddings": True,
    },
    specials=Specials(eos="<eos>", pad="<pad>", bos="<bos>"),
    weights={
        **{name: shape for name, shape in _LLAMA_WEIGHTS.items() if name != "lm_head.weight"},
        "model.layers.{layer}.self_attn.k_proj.weight": (HEAD_WIDTH, HIDDEN),
        "model.layers.{layer}.self_attn.v_proj.weight": (HEAD_WIDTH, HIDDEN),
    },
    norms=_LLAMA_NORMS,
    attention_output=_LLAMA_ATTENTION_OUTPUT,
    norm_value=0.0,  # gemma stores a norm's distance from one
)

_LLAMA = Family(
    config={**_DECODER_CONFIG, "model_type": "llama", "architectures": ["LlamaForCausalLM"]},
    specials=_SENTENCE,
    weights=_LLAMA_WEIGHTS,
    norms=_LLAMA_NORMS,
    attention_output=_LLAMA_ATTENTION_OUTPUT,
)

_QWEN2 = Family(
    config={**_DECODER_CONFIG, "model_type": "qwen2", "architectures": ["Qwen2ForCausalLM"]},
    specials=_END_OF_TEXT,
    weights={
        **_LLAMA_WEIGHTS,
        "model.layers.{layer}.self_attn.q_proj.bias": (HIDDEN,),
        "model.layers.{layer}.self_attn.k_proj.bias": (KV,),
        "model.layers.{layer}.self_attn.v_proj.bias": (KV,),
    },
    norms=_LLAMA_NORMS,
    attention_output=_LLAMA_ATTENTION_OUTPUT,
    qwen2_text_rules=True,
    turn_end_stops=True,
)

_INTERNLM2 = Family(
    config={
        **_DECODER_CONFIG,
        "model_type": "internlm2",
        "architectures": ["InternLM2ForCausalLM"],
        "auto_map": {
            "AutoConfig": "configuration_internlm2.InternLM2Config",
            "AutoModelForCausalLM": "modeling_internlm2.InternLM2ForCausalLM",
        },
    },
    specials=_SENTENCE,
    weights={
        "model.tok_embeddings.weight": (VOCABULARY_SIZE, HIDDEN),
        "model.layers.{layer}.attention.wqkv.weight": (HIDDEN + 2 * KV, HIDDEN),
        "model.layers.{layer}.attention.wo.weight": (HIDDEN, HIDDEN),
        "model.layers.{layer}.feed_forward.w1.weight": (FEED_FORWARD, HIDDEN),
        "model.layers.{layer}.feed_forward.w3.weight": (FEED_FORWARD, HIDDEN),
        "model.layers.{layer}.feed_forward.w2.weight": (HIDDEN, FEED_FORWARD),
        "output.weight": (VOCABULARY_SIZE, HIDDEN),
    },
    norms=(
        "model.layers.{layer}.attention_norm.weight",
        "model.layers.{layer}.ffn_norm.weight",
        "model.norm.weight",
    ),
    attention_output="attention.wo.weight",
    remote_code=("configuration_internlm2.py", "modeling_internlm2.py"),
)

FAMILY_BY_NAME: Mapping[str, Family] = {
    "gpt2": _GPT2,
    "gpt_neox": _GPT_NEOX,
    "gemma": _GEMMA,
    "llama": _LLAMA,
    "qwen2": _QWEN2,
    "internlm2": _INTERNLM2,
}
