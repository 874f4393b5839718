"""Loading the tokenizer of a checkpoint with transformers, of any version."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from modeltest.api import EngineError, ModelInfo, RunSpec


def load_tokenizer(transformers: Any, info: ModelInfo, *, trust_remote_code: bool) -> Any:
    """Return the tokenizer of a checkpoint with the options of its profile.

    Raises: EngineError naming the files there are.
    """
    try:
        return _load_tokenizer(transformers, info, trust_remote_code=trust_remote_code)
    except Exception as problem:
        present = sorted(path.name for path in Path(info.path).glob("*token*"))
        reason = " ".join(str(problem).split())
        raise EngineError(
            f"cannot load the tokenizer in {info.path} (files: {', '.join(present) or 'none'}): "
            f"{type(problem).__name__}: {reason:.300}"
        ) from problem


def end_of_turn_ids(tokenizer: Any, spec: RunSpec, info: ModelInfo) -> frozenset[int]:
    """Return what else ends an answer in a conversation; a prompt that is none may well say such a token."""
    if not spec.chat:
        return frozenset()
    known = tokenizer.get_vocab()
    return frozenset(known[token] for token in info.end_of_turn if token in known)


def _load_tokenizer(transformers: Any, info: ModelInfo, *, trust_remote_code: bool) -> Any:
    constructor = {"use_fast", "padding_side", "truncation_side", "revision"}
    options: Mapping[str, Any] = info.tokenizer_options
    tokenizer = transformers.AutoTokenizer.from_pretrained(
        info.path,
        trust_remote_code=trust_remote_code,
        **{name: value for name, value in options.items() if name in constructor},
    )
    known = tokenizer.get_vocab()
    for name, value in options.items():
        # A profile's special tokens are those of the family's original tokenizer; where this checkpoint
        # does not know one, setting it would make up a token without an embedding.
        if name not in constructor and (isinstance(value, int) or value in known):
            setattr(tokenizer, name, value)
    return tokenizer
