"""MindIE Service by its source: no echo, usage in the last chunk, `/infer` and `/infer_token`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from dialect import Exchange, Refused, Route, Sending
from made_generation import Generation, Wish, generated, pieces
from made_http import as_event
from made_model import VOCABULARY, decode, encode
from openai_dialect import SAMPLING, OpenAIDialect
from tgi_routes import MindieTgiRoutes

_KINDS = {400: "Bad Request", 404: "NotFoundError", 422: "Input Validation Error", 424: "Generation Error"}


class MindieDialect(OpenAIDialect, MindieTgiRoutes):
    """One prompt a request, at most 5 log-probabilities, no stream options."""

    takes = SAMPLING | {"ignore_eos", "stop_token_ids", "logprobs", "top_logprobs"}
    own_paths = frozenset({"/infer", "/infer_token", "/generate", "/generate_stream"})
    lists_of_prompts = False
    most_logprobs = 5
    invalid_status = 422
    usage_with_last_token = True
    delta_role: Mapping[str, str] = {"role": "assistant"}

    def routes(self) -> Mapping[tuple[str, str], Route]:
        """Return what is answered, by method and path. `/stopService` ends a server: asking it is a fault."""
        return {
            **super().routes(),
            ("GET", "/health"): self._health,
            ("GET", "/v2/health/live"): self._health,
            ("GET", "/v2/health/ready"): self._health,
            ("GET", "/info"): self._info,
            ("GET", "/v1/config"): self._config,
            ("POST", "/v1/tokenizer"): self._tokenizer,
            **self.tgi_routes(),
            ("POST", "/infer"): self._infer,
            ("POST", "/infer_token"): self._infer,
            ("GET", "/stopService"): self._stop,
        }

    def refusal(self, problem: Refused) -> Any:
        """Return text and type."""
        return {"error": problem.message, "error_type": _KINDS.get(problem.status, problem.kind)}

    def unreadable(self) -> Refused:
        """Return the refusal of a body that is no JSON object."""
        return Refused(422, "Request body is not valid json")

    def check(self, body: dict[str, Any]) -> None:
        """Refuse what is out of its range."""
        for name in ("logprobs", "top_logprobs"):
            if int(body.get(name, 0)) > self.most_logprobs:
                raise Refused(422, f"{name} must be in [0, 5], got {body[name]}")
        if body.get("max_tokens", 1) <= 0:
            raise Refused(422, "max_tokens must be in (0, 2147483647]")

    def _role_event(self) -> Iterator[Sending]:
        """No chunk of its own: each delta has the role."""
        yield from ()

    async def _health(self, exchange: Exchange) -> None:
        await exchange.answer.send(200, None)

    async def _stop(self, exchange: Exchange) -> None:
        await exchange.answer.send(200, {"stopped": True})

    async def _info(self, exchange: Exchange) -> None:
        settings = self.settings
        told = {"docker_label": None, "max_best_of": 1, "max_concurrent_requests": 200, "version": "2.2.RC1"}
        model = {"model_id": settings.model_name, "max_total_tokens": settings.context, "dtype": "float16"}
        told |= {"models": [model], "max_input_length": settings.context - 1}
        await exchange.answer.send(200, told)

    async def _config(self, exchange: Exchange) -> None:
        await exchange.answer.send(
            200, {"modelName": self.settings.model_name, "maxSeqLen": self.settings.context}
        )

    async def _tokenizer(self, exchange: Exchange) -> None:
        body = self.read(exchange)
        ids = encode(body["inputs"])
        texts = [decode([one], skip_special=False) for one in ids] if body.get("do_decode") else ids
        await exchange.answer.send(200, {"token_number": len(ids), "tokens": texts})

    async def _infer(self, exchange: Exchange) -> None:
        body = self.read_own(exchange, "parameters")
        params = _checked(body["parameters"])
        if ("inputs" in body) == ("input_id" in body):
            raise Refused(422, "one of inputs and input_id is wanted, not both")
        ids = body["input_id"] if "input_id" in body else encode(body["inputs"])
        if not ids or any(not 0 <= one < VOCABULARY for one in ids):
            raise Refused(422, "input_id out of range")
        ids = self.own_ids(ids, were_text="inputs" in body)
        made = generated(self.model, ids, self._own_wish(params, ids))
        if body.get("stream"):
            events = self._infer_events(made, has_details=bool(params.get("details")))
            await self.send_stream(exchange, events, done=False)
            return
        exchange.output_tokens = len(made.steps)
        answer: dict[str, Any] = {"generated_text": made.text}
        if params.get("details"):
            answer["details"] = _details(made)
        await exchange.answer.send(200, answer)

    def _own_wish(self, params: Mapping[str, Any], ids: Sequence[int]) -> Wish:
        draws = params.get("do_sample", any(name in params for name in ("temperature", "top_k", "top_p")))
        return Wish(
            max_tokens=self.limit(params.get("max_new_tokens", 20), ids),
            temperature=params.get("temperature", 1.0) if draws else 0.0,
            top_k=params.get("top_k", 0),
            top_p=params.get("top_p", 1.0),
            seed=params.get("seed"),
        )

    def _infer_events(self, made: Generation, *, has_details: bool) -> Iterator[Sending]:
        """Yield an event for each step; the last has its tokens, no text, and the whole answer."""
        groups, said = pieces(made.steps, self.settings.tokens_per_chunk), ""
        for place, steps in enumerate(groups):
            text = "".join(step.text for step in steps)
            said += text
            times = {"prefill_time": 1.0 if place == 0 else None, "decode_time": None if place == 0 else 1.0}
            event: dict[str, Any] = times
            token = {"id": [step.token for step in steps], "text": said if self.settings.full_text else text}
            if place == len(groups) - 1:
                details = {k: v for k, v in _details(made).items() if k != "generated_token_ids"}
                event |= {"generated_text": made.text, "details": details if has_details else None}
                token["text"] = None
            yield Sending(as_event({**event, "token": token}), len(steps))


def _checked(params: Mapping[str, Any]) -> Mapping[str, Any]:
    """Refuse what is out of its range, neutral values among it; names that are not known are ignored."""
    ranges = {"temperature": (1e-6, None), "top_k": (0, None), "top_p": (1e-6, 1.0), "seed": (0, None)}
    for name, (least, most) in {**ranges, "typical_p": (0.0, 1.1), "max_new_tokens": (0, None)}.items():
        value = params.get(name)
        if value is not None and (value <= least or (most is not None and value >= most)):
            raise Refused(422, f"Parameter {name} out of range, got {value}")
    return params


def _details(made: Generation) -> dict[str, Any]:
    finish = "length" if made.finish == "length" else "eos_token"
    told = {"finish_reason": finish, "generated_tokens": len(made.steps), "seed": None}
    return {**told, "generated_token_ids": made.tokens}
