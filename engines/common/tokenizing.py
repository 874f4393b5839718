"""Tokenizers as engines offer them to harnesses (`modeltest.api.Tokenizing`)."""

from __future__ import annotations

from collections.abc import Sequence

from engines.common.chat_template import TemplateRefusal
from engines.common.text_tokens import TextTokens
from modeltest.api import EngineError, SpecError, Turn


class CheckpointTokenizer:
    """A tokenizer of transformers, used as lm-evaluation-harness uses it but for what stands behind a text.

    Source: lm_eval/models/huggingface.py of lm-evaluation-harness 0.4.13, `prefix_token_id`, `tok_encode` and
    `apply_chat_template`. Where a tokenizer adds an end of text, lm-evaluation-harness asks for what comes
    behind that end; here a text ends where it ends.
    """

    def __init__(self, texts: TextTokens) -> None:
        self._texts = texts
        self._tokenizer = tokenizer = texts.raw
        self.name: str = tokenizer.name_or_path
        template = tokenizer.chat_template
        self.chat_template: str | None = template if template is None else str(template)

    @property
    def prefix_token_id(self) -> int:
        """The begin of text, or the end of text where there is none.

        Raises: EngineError when the tokenizer has neither.
        """
        for ids in (self._tokenizer.bos_token_id, self._tokenizer.eos_token_id):
            if ids is not None:
                return int(ids)
        raise EngineError(
            f"the tokenizer of {self.name} has no token for the begin or the end of a text, "
            "so nothing can stand before a text without context"
        )

    def encode(self, text: str, *, special: bool) -> tuple[int, ...]:
        """Return the token ids of `text`; with `special`, with what stands in front of a prompt."""
        ids = self._texts.ids(text)
        return self._texts.as_prompt(ids) if special else ids

    def decode(self, ids: Sequence[int]) -> str:
        """Return the text of token ids; special tokens are written out."""
        text: str = self._tokenizer.decode(list(ids), skip_special_tokens=False)
        return text

    def lay_out(self, turns: Sequence[Turn], *, generation_prompt: bool) -> str:
        """Return a conversation as text; a template that refuses the system's turn goes without it."""
        if self.chat_template is None:
            raise SpecError(f"{self.name} has no chat template; ask without one")
        template = self._texts.template
        lay_out = template.lay_out if generation_prompt else template.lay_out_begun
        try:
            return lay_out(turns)
        except TemplateRefusal as problem:
            refusal = problem
        others = [turn for turn in turns if turn.role != "system"]
        try:
            if len(others) < len(turns):
                return lay_out(others)
        except TemplateRefusal as problem:
            refusal = problem
        raise SpecError(f"the chat template of {self.name} refuses the conversation: {refusal}")


class ByteTokenizer:
    """Tokens are the bytes of the text; nothing is added around them."""

    name = "bytes"
    chat_template: str | None = "{% for message in messages %}{{ message.content }}{% endfor %}"

    def __init__(self, prefix_token_id: int) -> None:
        self.prefix_token_id = prefix_token_id

    def encode(self, text: str, *, special: bool) -> tuple[int, ...]:
        """Return the bytes of `text`."""
        return tuple(text.encode())

    def decode(self, ids: Sequence[int]) -> str:
        """Return the bytes as text; what is not UTF-8 becomes a replacement character."""
        return bytes(ids).decode(errors="replace")

    def lay_out(self, turns: Sequence[Turn], *, generation_prompt: bool) -> str:
        """Return what was said, one turn behind the other."""
        return "".join(turn.content for turn in turns)
