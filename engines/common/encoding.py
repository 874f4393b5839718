"""Prompts and choices to token ids, as the reference harnesses encode them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from engines.common.chat_template import TemplateRefusal
from engines.common.text_tokens import TextTokens
from modeltest.api import (
    ChatPrompt,
    ChoiceRule,
    Completion,
    EngineError,
    Prompt,
    Request,
    TextPrompt,
    TokenPrompt,
)

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
    replaces: tuple[int, ...] = ()
    """By choice, how many tokens at the prompt's end its own take the place of; empty: none does."""

    @property
    def replaced_tokens(self) -> tuple[int, ...]:
        """`replaces`, of every choice."""
        return self.replaces or (0,) * len(self.choice_ids)


class Encoder:
    """Encodes requests with one tokenizer for a model with a context of `context_tokens` (`None`: any).

    `vocabulary_size` (`None`: any) bounds the token ids that a prompt may give instead of text.
    """

    def __init__(
        self, texts: TextTokens, context_tokens: int | None, vocabulary_size: int | None = None
    ) -> None:
        self._texts = texts
        self._vocabulary_size = vocabulary_size
        self._context_tokens = context_tokens
        self._last_tokens: dict[str, int] = {}
        self._known: dict[str, tuple[int, ...]] = {}
        self._laid: dict[ChatPrompt, str | TemplateRefusal] = {}

    def encode_all(self, requests: Sequence[Request]) -> Iterator[Encoded | ValueError]:
        """Yield each request encoded, or why it cannot be; texts are tokenized together.

        See `encode`.

        Raises: EngineError, SpecError where no request could be asked as it is meant.
        """
        self._lay_out_together(requests)
        self._tokenize_together(requests)
        for request in requests:
            try:
                yield self.encode(request)
            except ValueError as problem:
                yield problem
        self._known.clear()
        self._laid.clear()

    def encode(self, request: Request) -> Encoded:
        """Encode `request`; a prompt too long loses whole shots first, then its left end.

        Raises: ValueError when the request cannot be encoded or cannot fit whatever is cut; EngineError when
        two of its choices are the same to the model.
        """
        dropped = 0
        encoded = self._encode_whole(request)
        if request.each_token and (excess := self._excess(encoded)) > 0:
            # A text cut at its beginning would have other log-probabilities, of which nothing said so.
            raise ValueError(
                f"prompt and choice exceed the context of {self._context_tokens} tokens by {excess}, and "
                "each_token cuts nothing: give shorter ones"
            )
        while self._excess(encoded) > 0:
            shorter = _without_first_shot(request.prompt)
            if shorter is None:
                return self._cut(replace(encoded, dropped_shots=dropped))
            dropped += 1
            request = replace(request, prompt=shorter)
            encoded = self._encode_whole(request)
        return replace(encoded, dropped_shots=dropped)

    def _encode_whole(self, request: Request) -> Encoded:
        if request.each_token and (problem := each_token_problem(request)) is not None:
            raise ValueError(problem)
        if isinstance(request.prompt, TokenPrompt):
            self._check_ids("prompt", request.prompt.ids)
            encoded = Encoded(request, request.prompt.ids, _token_choices(request))
            for ids in encoded.choice_ids:
                self._check_ids("choice", ids)
        elif request.choices:
            encoded = self._encode_choices(request)
        else:
            encoded = Encoded(request, self._ids(*self._text_of(request.prompt)))
        if not encoded.prompt_ids:
            raise ValueError("the prompt has no tokens")
        return encoded

    def _check_ids(self, what: str, ids: Sequence[int]) -> None:
        """Refuse ids that no embedding has: devices take whatever lies there for one."""
        lowest, highest = min(ids, default=0), max(ids, default=0)
        if lowest < 0:
            raise ValueError(f"the {what} has the token id {lowest}; ids count from 0")
        if self._vocabulary_size is not None and highest >= self._vocabulary_size:
            raise ValueError(
                f"the {what} has the token id {highest}; this model has {self._vocabulary_size}, from 0"
            )

    def _encode_choices(self, request: Request) -> Encoded:
        text, special = self._text_of(request.prompt)
        if request.choice_rule is ChoiceRule.LAST_TOKEN:
            last = tuple(
                (self._last_token(choice) if isinstance(choice, str) else choice[-1],)
                for choice in request.choices
            )
            _refuse_shared(request, last)
            return Encoded(request, self._ids(text, special), last)
        # Trailing blanks belong to the continuation: tokenizers glue a blank to the word behind it.
        prompt_ids = self._ids(text.rstrip(), special)
        found = [
            _continuation(prompt_ids, self._ids(text + choice, special), choice)
            if isinstance(choice, str)
            else Continuation(choice)
            for choice in request.choices
        ]
        _refuse_shared(request, [each.ids for each in found])
        replaces = tuple(each.replaces for each in found)
        return Encoded(
            request,
            prompt_ids,
            tuple(each.ids for each in found),
            replaces=replaces if any(replaces) else (),
        )

    def _text_of(self, prompt: Prompt) -> tuple[str, bool]:
        """Return the text and whether what stands in front of prompts is still to be added to it."""
        if isinstance(prompt, ChatPrompt):
            return self._laid_out(prompt), False  # the template writes it itself
        assert isinstance(prompt, TextPrompt)
        return prompt.text, True

    def _laid_out(self, prompt: ChatPrompt) -> str:
        """Return a conversation as the text of the chat template, up to where the answer begins.

        Raises: SpecError where there is no template; EngineError where it cannot be used; ValueError when it
        refuses the conversation.
        """
        text = self._laid.get(prompt)
        if text is None:
            (text,) = self._texts.template.lay_out_all([prompt.turns])
        if isinstance(text, TemplateRefusal):
            raise ValueError(f"the chat template refuses the conversation: {text}")
        return text

    def _lay_out_together(self, requests: Sequence[Request]) -> None:
        prompts = list({one.prompt: None for one in requests if isinstance(one.prompt, ChatPrompt)})
        if prompts:
            texts = self._texts.template.lay_out_all([prompt.turns for prompt in prompts])
            self._laid.update(zip(prompts, texts, strict=True))

    def _tokenize_together(self, requests: Sequence[Request]) -> None:
        wanted: dict[str, None] = {}
        for request in requests:
            if isinstance(request.prompt, TokenPrompt):
                continue
            try:
                text, _ = self._text_of(request.prompt)
            except ValueError:
                continue  # said of the request, when its turn comes
            wanted[text.rstrip() if request.choices else text] = None
            if request.choice_rule is ChoiceRule.CONTINUATION:
                wanted.update((text + choice, None) for choice in request.choices if isinstance(choice, str))
        if wanted:
            self._known.update(zip(wanted, self._texts.ids_of_all(list(wanted)), strict=True))

    def _ids(self, text: str, special: bool) -> tuple[int, ...]:
        known = self._known.get(text)
        ids = self._texts.ids(text) if known is None else known
        return self._texts.as_prompt(ids) if special else ids

    def _last_token(self, choice: str) -> int:
        if choice not in self._last_tokens:
            scaffold, ids = self._texts.ids(_SCAFFOLD), self._texts.ids(_SCAFFOLD + choice)
            if len(ids) <= len(scaffold) or ids[: len(scaffold)] != scaffold:
                raise EngineError(
                    f"choice {choice!r} has no token of its own behind {_SCAFFOLD!r}: {list(scaffold)}, "
                    f"with the choice {list(ids)}, and the last token of these is more than the choice; "
                    "ask with --protocol lm-eval"
                )
            self._last_tokens[choice] = ids[-1]
        return self._last_tokens[choice]

    def _excess(self, encoded: Encoded) -> int:
        """Return how many tokens more than the context the request needs."""
        if self._context_tokens is None:
            return 0
        lengths = zip(encoded.choice_ids, encoded.replaced_tokens, strict=True)
        longest_choice = max((len(ids) - replaced for ids, replaced in lengths), default=0)
        # The last new token is never fed back, and neither is a choice's.
        new_tokens = max(encoded.request.max_new_tokens, longest_choice)
        return len(encoded.prompt_ids) + max(new_tokens - 1, 0) - self._context_tokens

    def _cut(self, encoded: Encoded) -> Encoded:
        excess = self._excess(encoded)
        if excess >= len(encoded.prompt_ids) - max(encoded.replaced_tokens, default=0):
            raise ValueError(
                f"{encoded.request.max_new_tokens} new tokens leave no room for a prompt "
                f"in a context of {self._context_tokens}"
            )
        return replace(encoded, prompt_ids=encoded.prompt_ids[excess:], cut_tokens=excess)


def each_token_problem(request: Request) -> str | None:
    """Return why the log-probability of every token cannot be told of `request`; `None` where it can."""
    if not request.choices:
        return "each_token asks for the tokens of a continuation: give one as a choice of token ids"
    if not isinstance(request.prompt, TokenPrompt) or any(isinstance(one, str) for one in request.choices):
        return "each_token needs token ids for the prompt and the choices: texts may merge where they meet"
    if not all(request.choices):
        return "each_token needs choices of at least one token"
    if request.choice_rule is not ChoiceRule.CONTINUATION:
        return f"each_token asks for all tokens of a choice: give choice_rule {ChoiceRule.CONTINUATION.value}"
    return None


def encode_window(encoder: Encoder, window: Sequence[Request]) -> tuple[list[Encoded], list[Completion]]:
    """Return the requests that could be encoded and the failed completions of the others."""
    encoded, failed = [], []
    for request, one in zip(window, encoder.encode_all(window), strict=True):
        if isinstance(one, ValueError):
            failed.append(Completion(request.id, error=str(one)))
        else:
            encoded.append(one)
    return encoded, failed


def by_kind(encoded: Sequence[Encoded]) -> Iterator[list[Encoded]]:
    """Yield the requests that may share a batch."""
    kinds: dict[tuple[bool, int, bool, bool], list[Encoded]] = {}
    for one in encoded:
        request = one.request
        kind = (
            bool(one.choice_ids),
            request.max_new_tokens,
            request.ignore_eos,
            request.only_end_timed,
        )
        kinds.setdefault(kind, []).append(one)
    yield from kinds.values()


@dataclass(frozen=True, slots=True)
class Continuation:
    """The tokens of a choice, and how many at the prompt's end they take the place of."""

    ids: tuple[int, ...]
    replaces: int = 0


def _continuation(prompt: tuple[int, ...], whole: tuple[int, ...], choice: str) -> Continuation:
    """Return what `choice` adds to `prompt`, given the tokens of both together.

    As in lm-evaluation-harness, it is what of `whole` is longer than the prompt. Where nothing is, the end of
    the prompt and the choice have merged: it is what follows the tokens that both begin with.

    Raises: ValueError where that is nothing, or nothing stands before it.
    """
    if len(whole) > len(prompt):
        return Continuation(whole[len(prompt) :])
    if whole == prompt:
        raise ValueError(f"choice {choice!r} adds no token to the prompt")
    common = next(
        (at for at, pair in enumerate(zip(prompt, whole, strict=False)) if pair[0] != pair[1]), None
    )
    if common is None:
        raise ValueError(f"choice {choice!r} leaves the prompt with fewer tokens and adds none")
    if common == 0:
        raise ValueError(f"choice {choice!r} merges with the whole prompt: no token is left before it")
    return Continuation(whole[common:], len(prompt) - common)


def _refuse_shared(request: Request, ids: Sequence[tuple[int, ...]]) -> None:
    """Refuse choices that are different texts and the same tokens: the model cannot choose between them.

    Raises: EngineError.
    """
    owners: dict[tuple[int, ...], str | tuple[int, ...]] = {}
    for choice, own in zip(request.choices, ids, strict=True):
        other = owners.setdefault(own, choice)
        if other != choice:
            raise EngineError(
                f"the choices {other!r} and {choice!r} of question {request.id!r} are the same tokens to "
                f"this tokenizer: {list(own)}; the model cannot choose between them"
            )


def _token_choices(request: Request) -> tuple[tuple[int, ...], ...]:
    if any(isinstance(choice, str) for choice in request.choices):
        raise ValueError("a prompt of token ids needs choices of token ids")
    return tuple(tuple(choice) for choice in request.choices if not isinstance(choice, str))


def _without_first_shot(prompt: Prompt) -> Prompt | None:
    """Return the prompt with one shot less, or `None` when it has none."""
    if isinstance(prompt, TokenPrompt) or not prompt.shots:
        return None
    if isinstance(prompt, TextPrompt):
        return replace(prompt, shots=prompt.shots[1:])
    return replace(prompt, shots=prompt.shots[1:])
