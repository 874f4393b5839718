"""Texts as token ids, the same for every engine: what a tokenizer adds in front, and nothing behind."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from engines.common.chat_template import ChatTemplate
from engines.common.tokenizer_trials import (
    switch_off_cutting,
    told_changes,
    told_frame,
    try_frame,
    try_lengths,
    try_vocabulary,
    usable,
)


class TextTokens:
    """A tokenizer of transformers whose habits were tried when it was loaded.

    A prompt begins with what the tokenizer adds in front of a text, once, and ends where its text ends: a
    model that reads an end of text before it answers answers something else.
    """

    def __init__(self, tokenizer: Any, *, embeddings: int | None = None) -> None:
        """Try `tokenizer`; `embeddings` (`None`: unknown) is how many tokens the model knows.

        Raises: EngineError where it cannot be used.
        """
        self.raw = tokenizer
        self.template = ChatTemplate(tokenizer)
        with usable(tokenizer):
            if embeddings is not None:
                try_vocabulary(tokenizer, embeddings)
            cutting = tuple(switch_off_cutting(tokenizer))
            self._frame = frame = try_frame(tokenizer)
            try_lengths(tokenizer)
            self._begins = frozenset((*frame.front[:1], *_ids_of_begin(tokenizer)))
            self.notes: tuple[str, ...] = (
                *cutting,
                *told_frame(tokenizer, frame),
                *told_changes(tokenizer, frame),
            )
            """What of it a reader of the run should know."""

    def ids(self, text: str) -> tuple[int, ...]:
        """Return the token ids of `text` alone."""
        return self._frame.core(self.raw.encode(text, add_special_tokens=False))

    def ids_of_all(self, texts: Sequence[str]) -> list[tuple[int, ...]]:
        """Return the token ids of each text alone, in one call of the tokenizer."""
        encoded = self.raw(list(texts), add_special_tokens=False)["input_ids"]
        return [self._frame.core(ids) for ids in encoded]

    def as_prompt(self, ids: tuple[int, ...]) -> tuple[int, ...]:
        """Return `ids` of a text with what stands in front of a prompt, unless the text writes it itself."""
        return ids if ids and ids[0] in self._begins else self._frame.front + ids


def _ids_of_begin(tokenizer: Any) -> tuple[int, ...]:
    """Return what lm-evaluation-harness calls the prefix token: the begin of text, or else its end."""
    for name in ("bos_token_id", "eos_token_id"):
        if (token := getattr(tokenizer, name, None)) is not None:
            return (int(token),)
    return ()
