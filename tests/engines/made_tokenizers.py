"""Tokenizers made by hand: a token for every byte, merges and special tokens as a test wants them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

SPECIALS = ("<s>", "</s>", "<unk>", "<pad>")
BOS, EOS, UNKNOWN, PAD = range(4)


def byte_tokenizer(
    template: str | None = "<s> $A", *, merges: Sequence[tuple[str, str]] = (), normalizer: Any = None
) -> Any:
    """Return a tokenizer of transformers whose post-processor follows `template`, such as `<s> $A </s>`.

    `merges` are written as byte-level BPE writes them: a blank is a `Ġ`.
    """
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    vocabulary = {token: number for number, token in enumerate(SPECIALS)}
    for token in (*sorted(pre_tokenizers.ByteLevel.alphabet()), *(left + right for left, right in merges)):
        vocabulary.setdefault(token, len(vocabulary))
    raw = Tokenizer(models.BPE(vocab=vocabulary, merges=list(merges)))
    # No words are split off before merging, so that any two neighbours may become one token.
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    raw.decoder = decoders.ByteLevel()
    if normalizer is not None:
        raw.normalizer = normalizer
    if template is not None:
        raw.post_processor = processors.TemplateProcessing(
            single=template, special_tokens=[("<s>", BOS), ("</s>", EOS), ("<pad>", PAD)]
        )
    return PreTrainedTokenizerFast(
        tokenizer_object=raw,
        bos_token="<s>",
        eos_token="</s>",
        unk_token="<unk>",
        pad_token="<pad>",
        clean_up_tokenization_spaces=False,
    )


def ids_of(tokenizer: Any, *tokens: str) -> tuple[int, ...]:
    """Return the ids of tokens as the vocabulary writes them."""
    vocabulary = tokenizer.get_vocab()
    return tuple(vocabulary[token] for token in tokens)
