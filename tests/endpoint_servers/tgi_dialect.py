"""TGI 3.3: its own routes, and OpenAI's with text prompts alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from dialect import Exchange, Refused, Route, Sending
from made_generation import Generation, Wish, generated
from made_http import as_event
from made_model import END_IDS, SPECIAL_IDS, decode, encode
from openai_dialect import SAMPLING, OpenAIDialect


class TgiDialect(OpenAIDialect):
    """No token ids as prompt, no echo, nothing that ignores an end; log-probabilities in chats alone."""

    takes = (SAMPLING - {"top_k"}) | {"stream_options", "logprobs", "top_logprobs"}
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
            ("POST", "/generate"): self._generate,
            ("POST", "/generate_stream"): self._generate_stream,
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

    def _native(self, exchange: Exchange) -> tuple[dict[str, Any], Generation]:
        body = self.read(exchange)
        if not isinstance(body.get("inputs"), str):
            raise Refused(422, "Failed to deserialize: missing field `inputs`", "validation")
        params = body.get("parameters") or {}
        ids = encode(body["inputs"])
        wish = Wish(
            max_tokens=self.limit(params.get("max_new_tokens") or 100, ids),
            temperature=(params.get("temperature") or 1.0) if params.get("do_sample") else 0.0,
            seed=params.get("seed"),
            stop=tuple(params.get("stop") or ()),
        )
        return params, generated(self.model, ids, wish)

    async def _generate(self, exchange: Exchange) -> None:
        params, made = self._native(exchange)
        exchange.output_tokens = len(made.steps)
        answer: dict[str, Any] = {"generated_text": made.text}
        if params.get("details") or params.get("decoder_input_details"):
            answer["details"] = {
                **_details(made),
                "prefill": [],
                "tokens": [_token(one) for one in made.steps],
            }
        if params.get("decoder_input_details"):
            rows = [None, *self.model.prompt_logprobs(made.prompt)]
            answer["details"]["prefill"] = [
                {
                    "id": token,
                    "text": decode([token], skip_special=False),
                    "logprob": None if row is None else float(row[token]),
                }
                for token, row in zip(made.prompt, rows, strict=True)
            ]
        await exchange.answer.send(200, answer)

    async def _generate_stream(self, exchange: Exchange) -> None:
        params, made = self._native(exchange)
        if params.get("decoder_input_details"):
            raise Refused(
                422, "`decoder_input_details` == true is not supported when streaming", "validation"
            )
        await self.send_stream(exchange, self._native_events(made), done=False)

    def _native_events(self, made: Generation) -> Iterator[Sending]:
        for place, step in enumerate(made.steps):
            is_last = place == len(made.steps) - 1
            event: dict[str, Any] = {"index": place + 1, "token": _token(step), "top_tokens": None}
            event["generated_text"] = made.text if is_last else None
            event["details"] = _details(made) if is_last else None
            yield Sending(as_event(event), 1)


def _token(step: Any) -> dict[str, Any]:
    is_special = step.token in SPECIAL_IDS.values()
    told = {"id": step.token, "logprob": float(step.row[step.token]), "special": is_special}
    return {**told, "text": decode([step.token], skip_special=False) if is_special else step.text}


def _details(made: Generation) -> dict[str, Any]:
    is_end = bool(made.steps) and made.steps[-1].token in END_IDS
    finish = "length" if made.finish == "length" else "eos_token" if is_end else "stop_sequence"
    counts = {"generated_tokens": len(made.steps), "input_length": len(made.prompt)}
    return {"finish_reason": finish, "seed": None, **counts}
