"""The demo tokenizer: byte-level BPE, so that any text survives encoding and decoding."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from modeltest.demo.families import CONTEXT_TOKENS, VOCABULARY_SIZE, Family, Specials

SINGLE_TOKENS = (" yes", " no", " A", " B", " C", " D", "A", "B", "C", "D")
"""The answers that tasks compare by log-probability. Each is one token, whatever the training text was."""

_SLOTS_KEPT_FREE = 16
"""Ids not used by training, for the merges that `SINGLE_TOKENS` may still need: nine at most."""

_QWEN2_SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
"""Source: tokenizer.json of the published Qwen2 models. transformers 5 applies this rule, after NFC, to every
qwen2 checkpoint whatever its tokenizer.json says, so any other rule here would hold for some loaders only."""


def tokenizer_files(family: Family, texts: Iterable[str]) -> Mapping[str, Mapping[str, Any]]:
    """Train on `texts` and return the content of each tokenizer file by its name.

    The tokenizer has exactly `VOCABULARY_SIZE` tokens: what training leaves free becomes reserved tokens.
    """
    state = _train(family, texts)
    for word in SINGLE_TOKENS:
        _merge_into_one_token(state, word)
    _reserve_free_ids(state)
    return {"tokenizer.json": state, "tokenizer_config.json": _tokenizer_config(family.specials)}


def chat_template(specials: Specials) -> str:
    """Return the chat template: each turn between its marks, the role on the first line."""
    begin = "" if specials.bos is None else "{{ bos_token }}"
    start, end = specials.turn_start, specials.turn_end
    turn = f"'{start}' + message['role'] + '\\n' + message['content'] + '{end}\\n'"
    return (
        f"{begin}{{% for message in messages %}}{{{{ {turn} }}}}{{% endfor %}}"
        f"{{% if add_generation_prompt %}}{{{{ '{start}assistant\\n' }}}}{{% endif %}}"
    )


def _train(family: Family, texts: Iterable[str]) -> dict[str, Any]:
    """Return the trained tokenizer as the plain data of tokenizer.json."""
    from tokenizers import (
        Regex,
        Tokenizer,
        decoders,
        models,
        normalizers,
        pre_tokenizers,
        processors,
        trainers,
    )

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    if family.qwen2_text_rules:
        tokenizer.normalizer = normalizers.NFC()
        split = pre_tokenizers.Split(Regex(_QWEN2_SPLIT), behavior="isolated")
        as_bytes = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
        tokenizer.pre_tokenizer = pre_tokenizers.Sequence([split, as_bytes])
    if family.specials.bos is not None:
        bos = family.specials.bos
        tokenizer.post_processor = processors.TemplateProcessing(
            single=f"{bos} $A", pair=f"{bos} $A $B", special_tokens=[(bos, family.specials.tokens.index(bos))]
        )
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY_SIZE - _SLOTS_KEPT_FREE,
        min_frequency=2,
        special_tokens=list(family.specials.tokens),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    state: dict[str, Any] = json.loads(tokenizer.to_str())
    return state


def _merge_into_one_token(state: dict[str, Any], word: str) -> None:
    """Append to `state` the merges that are missing for `word` to be one token.

    They rank last, so no other word is split differently unless it contains this one.
    """
    from tokenizers import Tokenizer

    model = state["model"]
    whole, *rest = Tokenizer.from_str(json.dumps(state)).encode(word, add_special_tokens=False).tokens
    for piece in rest:
        model["merges"].append([whole, piece])
        whole += piece
        model["vocab"][whole] = len(model["vocab"])


def _reserve_free_ids(state: dict[str, Any]) -> None:
    for number in range(len(state["model"]["vocab"]), VOCABULARY_SIZE):
        like = dict(state["added_tokens"][0])
        state["added_tokens"].append({**like, "id": number, "content": f"<|reserved_{number}|>"})


def _tokenizer_config(specials: Specials) -> dict[str, Any]:
    config: dict[str, Any] = {
        # The generic class: a family's own one would build its own pipeline and drop the BOS rule.
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": CONTEXT_TOKENS,
        "eos_token": specials.eos,
        "pad_token": specials.pad,
        "additional_special_tokens": [specials.turn_start, specials.turn_end],
        "clean_up_tokenization_spaces": False,
        "chat_template": chat_template(specials),
    }
    if specials.bos is not None:
        config["bos_token"] = specials.bos
    return config
