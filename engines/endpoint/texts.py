"""The text side of a served model: a tokenizer's files, or the server's own, or nothing but text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NoReturn

from engines.common.encoding import Encoder
from engines.endpoint.dialects import Dialect
from engines.endpoint.routes.replies import ReplyError
from engines.endpoint.transport.client import Client, Unanswered
from engines.endpoint.transport.loop import LoopThread
from modeltest.api import EngineError, SpecError, Turn


class _NoTemplate:
    """Takes the place of a chat template where there is none at hand."""

    def lay_out_all(self, conversations: Sequence[Sequence[Turn]]) -> NoReturn:
        raise SpecError("choices in a conversation need the model's chat template: give --tokenizer DIR")

    def close(self) -> None:
        """There is nothing to end."""


class ServerTexts:
    """Texts cut by a server's `/tokenize`; what `engines.common.text_tokens.TextTokens` is for files.

    Called by a thread that may wait, not by the loop.
    """

    def __init__(self, client: Client, loop: LoopThread, dialect: Dialect, model: str) -> None:
        self._client, self._loop, self._dialect, self._model = client, loop, dialect, model
        self.template = _NoTemplate()
        self.notes: tuple[str, ...] = ("texts are cut into tokens by the server",)
        plain, special = self._ask("a", special=False), self._ask("a", special=True)
        if not plain or special[len(special) - len(plain) :] != plain:
            raise EngineError(
                f"the server cuts 'a' into {list(plain)}, and with special tokens into {list(special)}: what "
                "stands around a text cannot be told; give --tokenizer DIR"
            )
        self._front = special[: len(special) - len(plain)]

    def ids(self, text: str) -> tuple[int, ...]:
        """Return the token ids of `text` alone."""
        return self._ask(text, special=False)

    def ids_of_all(self, texts: Sequence[str]) -> list[tuple[int, ...]]:
        """Return the token ids of each text alone."""
        works = [lambda text=text, place=place: self._placed(place, text) for place, text in enumerate(texts)]
        found = [each for done in self._loop.as_done(works, limit=8) for each in done]
        return [ids for _, ids in sorted(found)]

    def as_prompt(self, ids: tuple[int, ...]) -> tuple[int, ...]:
        """Return `ids` of a text with what stands in front of a prompt, unless it is there."""
        return ids if self._front and ids[: len(self._front)] == self._front else self._front + ids

    async def _placed(self, place: int, text: str) -> tuple[int, tuple[int, ...]]:
        return place, await tokenize(self._client, self._dialect, self._model, text, special=False)

    def _ask(self, text: str, *, special: bool) -> tuple[int, ...]:
        return self._loop.run(tokenize(self._client, self._dialect, self._model, text, special=special))


async def tokenize(
    client: Client, dialect: Dialect, model: str, text: str, *, special: bool
) -> tuple[int, ...]:
    """Return the tokens that a server cuts a text into.

    Raises: EngineError where it does not say them.
    """
    if not text:
        return ()
    body: dict[str, Any] = {"model": model, dialect.tokenize_text: text}
    if dialect.tokenize_special:
        body[dialect.tokenize_special] = special
    try:
        value = await client.post(dialect.tokenize_path, body)
    except Unanswered as problem:
        raise EngineError(f"the server's {dialect.tokenize_path[1:]} fails: {problem}") from None
    found = value.get("tokens") if isinstance(value, dict) else value
    if isinstance(found, list):
        ids: list[Any] = [each.get("id") if isinstance(each, dict) else each for each in found]
        if all(type(each) is int for each in ids):
            return tuple(ids)
    raise EngineError(f"the server's {dialect.tokenize_path[1:]} says no token ids")


def written(tokenizer: Any, ids: Sequence[int]) -> str:
    """Return the text that a server cuts into `ids` by a tokenizer like transformers' own `tokenizer`.

    Raises: ReplyError where there is none, or no tokenizer.
    """
    if tokenizer is None:
        raise ReplyError("it takes texts alone, and what their tokens are is not known: give --tokenizer DIR")
    front = _front(tokenizer)
    behind = list(ids[len(front) :])
    text: str = tokenizer.decode(behind, skip_special_tokens=False, clean_up_tokenization_spaces=False)
    if not text or tuple(tokenizer.encode(text)) != tuple(ids):
        raise ReplyError("the server takes texts alone, and none is cut into these tokens")
    return text


def _front(tokenizer: Any) -> list[int]:
    """Return what the tokenizer puts in front of a prompt."""
    plain, whole = tokenizer.encode("a", add_special_tokens=False), tokenizer.encode("a")
    return list(whole[: len(whole) - len(plain)]) if whole[len(whole) - len(plain) :] == plain else []


class TextSide:
    """What turns texts into tokens, and encodes requests; `raw` is transformers' tokenizer or `None`."""

    def __init__(
        self, texts: Any, raw: Any, *, context_tokens: int | None, vocabulary_size: int | None
    ) -> None:
        self.texts, self.raw = texts, raw
        self.encoder = Encoder(texts, context_tokens, vocabulary_size)

    @property
    def has_template(self) -> bool:
        """Whether conversations can be laid out here."""
        return self.raw is not None and self.raw.chat_template is not None
