"""vLLM 0.32 as it was seen to answer."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from typing import Any

from dialect import Exchange, Refused, Route
from made_generation import Generation, Step
from made_model import decode, encode, lay_out
from openai_dialect import SAMPLING, OpenAIDialect

_KINDS = {"path": "Not Found", "key": "Unauthorized"}


class VllmDialect(OpenAIDialect):
    """Echo, prompt log-probabilities, log-probabilities of given ids, token ids in the answers."""

    takes = SAMPLING | {
        *("echo", "logprobs", "top_logprobs", "logprob_token_ids", "prompt_logprobs", "ignore_eos"),
        *("min_tokens", "stop_token_ids", "stream_options", "return_token_ids", "add_special_tokens"),
        *("return_tokens_as_token_ids", "max_completion_tokens", "logit_bias"),
    }
    reasoning_field = "reasoning"

    def __init__(self, *words: Any) -> None:
        super().__init__(*words)
        self._fingerprint = f"vllm-0.32.0-{secrets.token_hex(4)}"  # another with each start

    def whole_extra(self, choices: list[Any]) -> dict[str, Any]:
        """Return what tells one start of the server from another, which the last chunk has."""
        is_last = not choices or choices[0].get("finish_reason") is not None
        return {"system_fingerprint": self._fingerprint} if is_last else {}

    def routes(self) -> Mapping[tuple[str, str], Route]:
        """Return what is answered, by method and path."""
        return {
            **super().routes(),
            ("GET", "/health"): self._health,
            ("GET", "/ping"): self._health,
            ("GET", "/version"): self._version,
            ("POST", "/tokenize"): self._tokenize,
            ("POST", "/detokenize"): self._detokenize,
        }

    def refusal(self, problem: Refused) -> Any:
        """Return an object with `error`; of routes `detail`, of keys a string."""
        if problem.kind in _KINDS:
            return {"detail": problem.message} if problem.kind == "path" else {"error": problem.message}
        error = {"message": problem.message, "type": problem.kind, "param": problem.param}
        return {"error": {**error, "code": problem.status}}

    def described(self) -> dict[str, Any]:
        """Return the entry of the model in the list of models."""
        more = {"owned_by": "vllm", "root": "/models/made", "max_model_len": self.settings.context}
        return {**super().described(), **more}

    def unknown_model(self, name: str) -> Refused:
        """Return the refusal of a model that is not served."""
        message = f"The model `{name}` does not exist. Valid aliases: {self.settings.model_name}."
        return Refused(404, message, "NotFoundError", "model")

    def check(self, body: dict[str, Any]) -> None:
        """Refuse what vLLM refuses with 400."""
        super().check(body)
        echo = self.echoed(body)
        if body.get("max_tokens") == 0 and not echo and "messages" not in body:
            raise Refused(400, "max_tokens must be at least 1, got 0.", param="max_tokens")
        if "max_tokens" in body and body.get("min_tokens", 0) > max(body["max_tokens"], 0):
            raise Refused(400, "min_tokens must be less than or equal to max_tokens.")
        if body.get("stream") and body.get("prompt_logprobs") is not None:
            why = "`prompt_logprobs` are not available when `stream=True`."
            raise Refused(400, why, param="prompt_logprobs")
        for name in ("logprobs", "top_logprobs", "prompt_logprobs"):
            if int(body.get(name, 0)) > self.most_logprobs:
                raise Refused(
                    400,
                    f"Requested {name} of {body[name]}, which is greater than max allowed: "
                    f"{self.most_logprobs}",
                    param=name,
                )

    def extra(self, body: dict[str, Any], made: Generation) -> dict[str, Any]:
        """Return prompt log-probabilities, by id, and ids where they are wanted."""
        wanted = body.get("prompt_logprobs")
        if wanted is None and self.echoed(body):
            wanted = body.get("logprobs")
        prompt = None if wanted is None else [None, *self._ranked(made.prompt, wanted)]
        ids = bool(body.get("return_token_ids"))
        return {
            "prompt_logprobs": prompt,
            "prompt_token_ids": list(made.prompt) if ids else None,
            "token_ids": made.tokens if ids else None,
        }

    def chunk_extra(
        self, body: dict[str, Any], made: Generation, steps: Sequence[Step], first: bool
    ) -> dict[str, Any]:
        """Return the ids of a chunk; those of the prompt come with the first."""
        if not body.get("return_token_ids"):
            return {}
        ids = {"token_ids": [step.token for step in steps]}
        return {**ids, "prompt_token_ids": list(made.prompt)} if first else ids

    def _ranked(self, ids: Sequence[int], count: int) -> list[dict[str, Any]]:
        found = []
        for token, row in zip(ids[1:], self.model.prompt_logprobs(ids), strict=True):
            best = (-row).argsort(kind="stable")
            rank = {int(place): at + 1 for at, place in enumerate(best)}
            found.append(
                {
                    str(each): {
                        "logprob": float(row[each]),
                        "rank": rank[each],
                        "decoded_token": decode([each], skip_special=False),
                    }
                    for each in dict.fromkeys((token, *(int(one) for one in best[:count])))
                }
            )
        return found

    async def _health(self, exchange: Exchange) -> None:
        await exchange.answer.send(200, None)

    async def _version(self, exchange: Exchange) -> None:
        await exchange.answer.send(200, {"version": "0.32.0"})

    async def _tokenize(self, exchange: Exchange) -> None:
        body = self.read(exchange)
        if "messages" in body:
            ids = encode(lay_out(body["messages"]), special=body.get("add_special_tokens", False))
        else:
            ids = encode(body["prompt"], special=body.get("add_special_tokens", True))
        texts = [decode([one], skip_special=False) for one in ids] if body.get("return_token_strs") else None
        told = {"count": len(ids), "max_model_len": self.settings.context, "tokens": ids}
        await exchange.answer.send(200, {**told, "token_strs": texts})

    async def _detokenize(self, exchange: Exchange) -> None:
        body = self.read(exchange)
        await exchange.answer.send(200, {"prompt": decode(body["tokens"], skip_special=False)})
