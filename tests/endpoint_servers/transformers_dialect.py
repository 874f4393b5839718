"""`transformers serve`: chats alone, and no log-probabilities."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from dialect import Exchange, Refused, Route, Sending
from openai_dialect import SAMPLING, OpenAIDialect


class TransformersDialect(OpenAIDialect):
    """Texts of chats; some early chunks are empty."""

    takes = SAMPLING | {"stream_options"}

    def routes(self) -> Mapping[tuple[str, str], Route]:
        """Return what is answered, by method and path."""
        return {
            ("GET", "/v1/models"): self.models,
            ("GET", "/health"): self._health,
            ("POST", "/v1/chat/completions"): self.chat,
        }

    def refusal(self, problem: Refused) -> Any:
        """Return `detail`."""
        return {"detail": problem.message}

    async def _health(self, exchange: Exchange) -> None:
        await exchange.answer.send(200, {"status": "ok"})

    def _role_event(self) -> Iterator[Sending]:
        for _ in range(2):
            yield from super()._role_event()
