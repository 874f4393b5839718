"""`transformers serve` 5.19: text prompts and chats, no log-probabilities, streams without `[DONE]`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from dialect import Exchange, Refused, Route, Sending
from made_generation import Generation
from made_http import as_event
from openai_dialect import SAMPLING, OpenAIDialect

_UNUSED = frozenset(
    {"presence_penalty", "frequency_penalty", "stream_options", "logprobs", "echo", "n", "user"}
)
"""Fields that are taken and do nothing; all others are refused."""


class TransformersDialect(OpenAIDialect):
    """Refuses fields that it does not know; with `--chat-only` as versions before it had completions."""

    takes = SAMPLING - {"top_k"}
    refuses_beyond = _UNUSED
    invalid_status = 422
    id_prompts = False
    lists_of_prompts = False
    tells_stop = True

    def routes(self) -> Mapping[tuple[str, str], Route]:
        """Return what is answered, by method and path."""
        routes = {
            **super().routes(),
            ("GET", "/health"): self._health,
            ("GET", "/openapi.json"): self._described_routes,
            ("POST", "/load_model"): self._health,
            ("POST", "/reset"): self._health,
        }
        if self.settings.chat_only:
            del routes["POST", "/v1/completions"]
        return routes

    def refusal(self, problem: Refused) -> Any:
        """Return `detail`."""
        return {"detail": problem.message}

    def unexpected(self, names: Iterable[str]) -> Refused:
        """Return the refusal of fields that are not known."""
        return Refused(422, f"Unexpected fields in the request: {set(names)}")

    async def send_stream(self, exchange: Exchange, events: Iterable[Sending], *, done: bool = True) -> None:
        """Send a stream, which has no last event of its own."""
        await super().send_stream(exchange, events, done=False)

    async def _health(self, exchange: Exchange) -> None:
        await exchange.answer.send(200, {"status": "ok"})

    async def _described_routes(self, exchange: Exchange) -> None:
        paths: dict[str, Any] = {path: {method.lower(): {}} for method, path in self.routes()}
        await exchange.answer.send(200, {"openapi": "3.1.0", "paths": paths})

    def _role_event(self) -> Iterator[Sending]:
        choice = {"index": 0, "delta": {"role": "assistant"}}
        yield Sending(as_event(self._whole("chat.completion.chunk", [choice], None)))

    def finish_of_chunk(self, made: Generation, is_last: bool) -> str | None:
        """Return nothing: the reason comes behind the last token."""
        return None

    def _usage_event(self, body: dict[str, Any], made: Generation, kind: str) -> Iterator[Sending]:
        said = {"text": ""} if kind == "text_completion" else {"delta": {}}
        choice = {"index": 0, **said, "finish_reason": made.finish}
        yield Sending(as_event(self._whole(kind, [choice], self._usage([made]))))
