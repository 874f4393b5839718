"""TGI 3.3: its own routes, and OpenAI's with text prompts alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dialect import Exchange, Refused, Route
from made_model import decode, encode
from openai_dialect import SAMPLING, OpenAIDialect
from tgi_routes import TgiRoutes


class TgiDialect(OpenAIDialect, TgiRoutes):
    """No token ids as prompt, no echo, nothing that ignores an end; log-probabilities in chats alone."""

    takes = (SAMPLING - {"top_k"}) | {"stream_options", "logprobs", "top_logprobs"}
    own_paths = frozenset({"/generate", "/generate_stream"})
    id_prompts = False
    most_logprobs = 5
    invalid_status = 422

    def routes(self) -> Mapping[tuple[str, str], Route]:
        """Return what is answered, by method and path."""
        return {
            **super().routes(),
            ("GET", "/health"): self._health,
            ("GET", "/info"): self._info,
            ("POST", "/tokenize"): self._tokenize,
            **self.tgi_routes(),
        }

    def refusal(self, problem: Refused) -> Any:
        """Return text and type."""
        return {"error": problem.message, "error_type": problem.kind}

    def unreadable(self) -> Refused:
        """Return the refusal of a body that is no JSON object."""
        return Refused(422, "the body is no JSON object", "validation")

    def completion_logprobs(self, *args: Any, **keywords: Any) -> Any:
        """Return none: completions have no log-probabilities here."""
        return None

    def limit(self, wanted: int, prompt: Any) -> int:
        """Refuse what does not fit, which TGI does instead of cutting it."""
        total = len(prompt) + wanted
        if total > self.settings.context:
            raise Refused(
                422,
                f"Input validation error: `inputs` tokens + `max_new_tokens` must be <= "
                f"{self.settings.context}. Given: {len(prompt)} `inputs` tokens and {wanted} "
                "`max_new_tokens`",
                "validation",
            )
        return super().limit(wanted, prompt)

    async def _health(self, exchange: Exchange) -> None:
        await exchange.answer.send(200, None)

    async def _info(self, exchange: Exchange) -> None:
        told = {
            "model_id": self.settings.model_name,
            "version": "3.3.6-dev0",
            "docker_label": None,
            "router": "text-generation-router",
        }
        limits = {"max_input_tokens": self.settings.context - 1, "max_total_tokens": self.settings.context}
        await exchange.answer.send(200, {**told, **limits, "max_concurrent_requests": 128})

    async def _tokenize(self, exchange: Exchange) -> None:
        body = self.read(exchange)
        ids = encode(body["inputs"], special=body.get("add_special_tokens", True))
        told = [{"id": one, "text": decode([one], skip_special=False), "start": 0, "stop": 0} for one in ids]
        await exchange.answer.send(200, told)
