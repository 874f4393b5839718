"""The server of llama.cpp: `/completion` with its own defaults, and OpenAI's routes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from dialect import Exchange, Refused, Route, Sending
from made_generation import Generation, Step, Wish, generated, pieces
from made_http import as_event
from made_model import END_IDS, VOCABULARY, decode, encode, lay_out, token_bytes
from openai_dialect import SAMPLING, OpenAIDialect


class LlamaCppDialect(OpenAIDialect):
    """Token ids as prompt and `ignore_eos`; log-probabilities of what was said, none of the prompt."""

    takes = SAMPLING | {
        *("ignore_eos", "logprobs", "top_logprobs", "stream_options", "max_completion_tokens"),
        "logit_bias",
    }

    def routes(self) -> Mapping[tuple[str, str], Route]:
        """Return what is answered, by method and path."""
        return {
            **super().routes(),
            ("GET", "/health"): self._health,
            ("GET", "/props"): self._props,
            ("POST", "/tokenize"): self._tokenize,
            ("POST", "/detokenize"): self._detokenize,
            ("POST", "/apply-template"): self._apply_template,
            ("POST", "/completion"): self._completion,
        }

    def refusal(self, problem: Refused) -> Any:
        """Return an object with `error`."""
        kind = {"path": "not_found_error", "key": "authentication_error"}.get(
            problem.kind, "invalid_request_error"
        )
        return {"error": {"code": problem.status, "message": problem.message, "type": kind}}

    def described(self) -> dict[str, Any]:
        """Return the entry of the model in the list of models."""
        meta = {"n_vocab": VOCABULARY, "n_ctx_train": self.settings.context}
        return {**super().described(), "owned_by": "llamacpp", "meta": meta}

    def completion_logprobs(
        self, body: dict[str, Any], made: Generation, steps: Sequence[Step], *, first: bool
    ) -> Any:
        """Return entries with ids, in the form that OpenAI's chats have."""
        wanted = body.get("logprobs")
        if wanted is None:
            return None

        def entry(row: Any, token: int) -> dict[str, Any]:
            told = {"id": token, "token": decode([token]), "bytes": list(token_bytes(token))}
            return {**told, "logprob": float(row[token])}

        return {
            "content": [
                {
                    **entry(step.row, step.token),
                    "top_logprobs": [
                        entry(step.row, int(each))
                        for each in (-step.row).argsort(kind="stable")[: int(wanted)]
                    ],
                }
                for step in steps
            ]
        }

    async def _health(self, exchange: Exchange) -> None:
        await exchange.answer.send(200, {"status": "ok"})

    async def _props(self, exchange: Exchange) -> None:
        settings = {"n_ctx": self.settings.context, "params": {"temperature": 0.8, "top_k": 40}}
        told = {"total_slots": 4, "model_path": "made.gguf", "build_info": "b6800-00dc805"}
        await exchange.answer.send(200, {"default_generation_settings": settings, **told})

    async def _tokenize(self, exchange: Exchange) -> None:
        body = self.read(exchange)
        ids = encode(body["content"], special=body.get("add_special", False))
        await exchange.answer.send(200, {"tokens": ids})

    async def _detokenize(self, exchange: Exchange) -> None:
        body = self.read(exchange)
        await exchange.answer.send(200, {"content": decode(body["tokens"], skip_special=False)})

    async def _apply_template(self, exchange: Exchange) -> None:
        body = self.read(exchange)
        await exchange.answer.send(200, {"prompt": lay_out(body["messages"])})

    async def _completion(self, exchange: Exchange) -> None:
        body = self.read(exchange)
        prompt = body.get("prompt")
        ids = prompt if isinstance(prompt, list) else encode(prompt) if isinstance(prompt, str) else []
        if not ids or any(not isinstance(one, int) or not 0 <= one < VOCABULARY for one in ids):
            raise Refused(400, "prompt is empty or has invalid tokens")
        wanted = body.get("n_predict", -1)
        wish = Wish(
            max_tokens=0 if wanted == 0 else self.limit(wanted if wanted > 0 else self.settings.context, ids),
            temperature=body.get("temperature", 0.8),
            top_k=body.get("top_k", 40),
            top_p=body.get("top_p", 0.95),
            seed=body.get("seed"),
            stop=tuple(body.get("stop") or ()),
            ignore_eos=bool(body.get("ignore_eos")),
        )
        made = generated(self.model, ids, wish)
        if body.get("stream"):
            await self.send_stream(exchange, self._native_events(body, made), done=False)
            return
        exchange.output_tokens = len(made.steps)
        await exchange.answer.send(200, self._native(body, made, made.steps, is_last=True))

    def _native_events(self, body: dict[str, Any], made: Generation) -> Iterator[Sending]:
        for steps in pieces(made.steps, self.settings.tokens_per_chunk):
            yield Sending(as_event(self._native(body, made, steps, is_last=False)), len(steps))
        yield Sending(as_event(self._native(body, made, (), is_last=True)))

    def _native(
        self, body: dict[str, Any], made: Generation, steps: Sequence[Step], *, is_last: bool
    ) -> dict[str, Any]:
        told: dict[str, Any] = {"content": "".join(step.text for step in steps), "stop": is_last}
        told["tokens"] = [step.token for step in steps] if body.get("return_tokens") else []
        if is_last:
            is_end = bool(made.steps) and made.steps[-1].token in END_IDS
            told["stop_type"] = "limit" if made.finish == "length" else "eos" if is_end else "word"
            told |= {"tokens_predicted": len(made.steps), "tokens_evaluated": len(made.prompt)}
            told |= {"truncated": False, "tokens_cached": 0}
        return told
