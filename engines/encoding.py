"""Prompts and choices to token ids, as the reference harnesses encode them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from modeltest.api import ChatPrompt, ChoiceRule, Prompt, Request, TextPrompt, TokenPrompt, to_plain

_SCAFFOLD = "Answer:"
"""Text before a choice whose last token is looked up on its own."""


@dataclass(frozen=True, slots=True)
class Encoded:
    """A request as token ids, cut to the context."""

    request: Request
    prompt_ids: tuple[int, ...]
    choice_ids: tuple[tuple[int, ...], ...] = ()
    dropped_shots: int = 0
    cut_tokens: int = 0


class Encoder:
    """Encodes requests with one tokenizer for a model with a context of `context_tokens` (`None`: any)."""

    def __init__(self, tokenizer: Any, context_tokens: int | None) -> None:
        self._tokenizer = tokenizer
        self._context_tokens = context_tokens
        self._last_tokens: dict[str, int] = {}

    def encode(self, request: Request) -> Encoded:
        """Encode `request`; a prompt too long loses whole shots first, then its left end.

        Raises: ValueError when the request cannot be encoded or cannot fit whatever is cut.
        """
        dropped = 0
        encoded = self._encode_whole(request)
        while self._excess(encoded) > 0:
            shorter = _without_first_shot(request.prompt)
            if shorter is None:
                return self._cut(replace(encoded, dropped_shots=dropped))
            dropped += 1
            request = replace(request, prompt=shorter)
            encoded = self._encode_whole(request)
        return replace(encoded, dropped_shots=dropped)

    def _encode_whole(self, request: Request) -> Encoded:
        if isinstance(request.prompt, TokenPrompt):
            encoded = Encoded(request, request.prompt.ids)
        elif request.choices:
            encoded = self._encode_choices(request)
        else:
            encoded = Encoded(request, self._ids(*self._text_of(request.prompt)))
        if not encoded.prompt_ids:
            raise ValueError("the prompt has no tokens")
        return encoded

    def _encode_choices(self, request: Request) -> Encoded:
        text, special = self._text_of(request.prompt)
        if request.choice_rule is ChoiceRule.LAST_TOKEN:
            last = tuple((self._last_token(choice),) for choice in request.choices)
            return Encoded(request, self._ids(text, special), last)
        # Trailing blanks belong to the continuation: tokenizers glue a blank to the word behind it.
        stripped = text.rstrip()
        blanks = text[len(stripped) :]
        prompt_ids = self._ids(stripped, special)
        choices = tuple(
            self._ids(stripped + blanks + choice, special)[len(prompt_ids) :] for choice in request.choices
        )
        if not all(choices):
            raise ValueError("a choice adds no token to the prompt")
        return Encoded(request, prompt_ids, choices)

    def _text_of(self, prompt: Prompt) -> tuple[str, bool]:
        """Return the text and whether the tokenizer's special tokens are still to be added to it."""
        if isinstance(prompt, ChatPrompt):
            text: str = self._tokenizer.apply_chat_template(
                to_plain(prompt.turns), tokenize=False, add_generation_prompt=True
            )
            return text, False  # the template writes them itself
        assert isinstance(prompt, TextPrompt)
        bos = self._tokenizer.bos_token
        return prompt.text, not (bos and prompt.text.startswith(bos))

    def _ids(self, text: str, special: bool) -> tuple[int, ...]:
        return tuple(self._tokenizer.encode(text, add_special_tokens=special))

    def _last_token(self, choice: str) -> int:
        if choice not in self._last_tokens:
            ids = self._ids(_SCAFFOLD + choice, False)
            self._last_tokens[choice] = ids[-1]
        return self._last_tokens[choice]

    def _excess(self, encoded: Encoded) -> int:
        """Return how many tokens more than the context the request needs."""
        if self._context_tokens is None:
            return 0
        longest_choice = max((len(ids) for ids in encoded.choice_ids), default=0)
        # The last new token is never fed back, and neither is a choice's.
        new_tokens = max(encoded.request.max_new_tokens, longest_choice)
        return len(encoded.prompt_ids) + max(new_tokens - 1, 0) - self._context_tokens

    def _cut(self, encoded: Encoded) -> Encoded:
        excess = self._excess(encoded)
        if excess >= len(encoded.prompt_ids):
            raise ValueError(
                f"{encoded.request.max_new_tokens} new tokens leave no room for a prompt "
                f"in a context of {self._context_tokens}"
            )
        return replace(encoded, prompt_ids=encoded.prompt_ids[excess:], cut_tokens=excess)


def _without_first_shot(prompt: Prompt) -> Prompt | None:
    """Return the prompt with one shot less, or `None` when it has none."""
    if isinstance(prompt, TokenPrompt) or not prompt.shots:
        return None
    if isinstance(prompt, TextPrompt):
        return replace(prompt, shots=prompt.shots[1:])
    return replace(prompt, shots=prompt.shots[1:])
