"""The servers that are known, told by what they answer, and in which words each wants to be asked. Data.

What a server can is found by asking it (`abilities.py`); a dialect says only what may be asked without harm.
Nothing with an effect on a server is ever asked: MindIE's `/stopService` is a GET that stops it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

NEUTRAL = ("top_p", "presence_penalty", "frequency_penalty")
"""OpenAI's own fields that are sent at their neutral values."""

_OPEN = ("repetition_penalty", "top_k", "min_p")
_VLLM_FIELDS = (
    *_OPEN,
    "ignore_eos",
    "min_tokens",
    "stop_token_ids",
    "return_token_ids",
    "return_tokens_as_token_ids",
    "logprob_token_ids",
    "prompt_logprobs",
    "echo",
    "logprobs",
    "seed",
    "cache_salt",
    "logit_bias",
    "continuous_usage_stats",
)


@dataclass(frozen=True, slots=True)
class Dialect:
    """One kind of server: fields it may be sent beside OpenAI's least, and what is known to differ."""

    name: str
    fields: frozenset[str]
    off_top_k: int = -1
    """The `top_k` that means all tokens."""

    refuses_unknown_ids: bool = False
    """Whether ids beyond the vocabulary are known to be refused and to harm nothing."""

    least_echo_tokens: int = 0
    """New tokens that must be asked for with `echo`."""

    tokenize_path: str = "//tokenize"
    tokenize_text: str = "prompt"
    tokenize_special: str | None = "add_special_tokens"
    """The field that leaves special tokens away; without one nobody knows whether they are added."""

    ends_with_done: bool = True
    """Whether the last event of a stream is `[DONE]`."""

    natives: tuple[str, ...] = ()
    """Its own routes beside OpenAI's, by their names in `routes/known.py`; each is tried at load."""

    unfit: Mapping[str, str] = field(default_factory=dict)
    """Fields that it has and that are not sent, since they do something else there; and what."""


VLLM = Dialect("vllm", frozenset(_VLLM_FIELDS), refuses_unknown_ids=True)
SGLANG = Dialect(
    "sglang",
    frozenset(_VLLM_FIELDS) - {"logprob_token_ids", "prompt_logprobs", "cache_salt"},
    least_echo_tokens=1,
    natives=("sglang",),
)
TGI = Dialect(
    "tgi",
    frozenset({"seed", "repetition_penalty", "top_k"}),
    tokenize_text="inputs",
    tokenize_special="add_special_tokens",
    natives=("tgi",),
)
MINDIE = Dialect(
    "mindie",
    frozenset({"repetition_penalty", "top_k", "ignore_eos", "stop_token_ids", "seed", "logprobs"}),
    off_top_k=0,
    tokenize_path="//v1/tokenizer",
    tokenize_text="inputs",
    tokenize_special=None,
    natives=("mindie", "tgi"),
)
LLAMA_CPP = Dialect(
    "llama.cpp",
    frozenset(
        {"repeat_penalty", "top_k", "min_p", "ignore_eos", "seed", "logit_bias", "cache_prompt", "logprobs"}
    ),
    off_top_k=0,
    tokenize_text="content",
    tokenize_special="add_special",
)
TRANSFORMERS = Dialect(
    "transformers",
    frozenset(),
    ends_with_done=False,
    unfit={"seed": "transformers draws for all requests from one generator, which the latest seed sets anew"},
)
"""Refuses fields that it does not know."""

UNKNOWN = Dialect("unknown", frozenset(_VLLM_FIELDS))
"""Asked as vLLM is: what it ignores has no effect, and what has none is not believed."""

STRICT = Dialect("unknown", frozenset({"seed", "echo", "logprobs", "logit_bias"}))
"""Takes the place of `UNKNOWN` where that is answered nothing: has no field beyond OpenAI's own."""

_BY_OWNER = {"vllm": VLLM, "sglang": SGLANG, "llamacpp": LLAMA_CPP, "mindie": MINDIE}


@dataclass(frozen=True, slots=True)
class Recognized:
    """A server as its answers show it."""

    dialect: Dialect
    version: str | None = None
    context_tokens: int | None = None


LOOKED_AT = ("//version", "//get_model_info", "//get_server_info", "//props", "//info", "//v1/config")
"""What is asked with GET, beside the list of models; none of them has an effect."""

ROUTES = "//openapi.json"
"""Asked of a server that none of these showed: it may list its routes."""


def recognize(models: Any, answers: Mapping[str, Any]) -> Recognized:
    """Return which server gave these `answers`, JSON by path, where there was one with status 200.

    `models` is the entry of the model in `/models`.
    """
    entry = models if isinstance(models, dict) else {}
    version, info, props = (_object(answers.get(name)) for name in ("//version", "//info", "//props"))
    context = _count(entry.get("max_model_len"))
    owner = _BY_OWNER.get(str(entry.get("owned_by", "")).lower())
    if _object(answers.get("//get_model_info")).get("model_path"):
        return Recognized(SGLANG, _text(_object(answers.get("//get_server_info")).get("version")), context)
    if "default_generation_settings" in props:
        settings = _object(props.get("default_generation_settings"))
        return Recognized(LLAMA_CPP, _text(props.get("build_info")), _count(settings.get("n_ctx")))
    if "//v1/config" in answers:
        config = _object(answers["//v1/config"])
        return Recognized(MINDIE, _text(info.get("version")), context or _count(config.get("maxSeqLen")))
    if "max_total_tokens" in info and "model_id" in info:
        return Recognized(TGI, _text(info.get("version")), _count(info.get("max_total_tokens")))
    if owner is VLLM or (context is not None and version.get("version")):
        return Recognized(VLLM, _text(version.get("version")), context)
    if owner is not None:
        return Recognized(owner, _text(version.get("version")), context)
    if "/load_model" in _object(_object(answers.get(ROUTES)).get("paths")):
        return Recognized(TRANSFORMERS, None, context)
    return Recognized(UNKNOWN, _text(version.get("version")), context)


def _object(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None


def _count(value: Any) -> int | None:
    return value if type(value) is int and value > 0 else None
