"""SGLang: OpenAI's routes with flat errors, and its own `/generate` whose streamed text is cumulative."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from dialect import Exchange, Refused, Route, Sending
from made_generation import Generation, Step, Wish, generated, pieces
from made_http import as_event
from made_model import VOCABULARY, decode, encode
from openai_dialect import SAMPLING, OpenAIDialect


class SglangDialect(OpenAIDialect):
    """No prompt log-probabilities by name; an echo wants one token at least."""

    own_paths = frozenset({"/generate"})
    takes = SAMPLING | {
        *("echo", "logprobs", "top_logprobs", "ignore_eos", "min_tokens", "stop_token_ids"),
        *("stream_options", "return_token_ids", "max_completion_tokens", "logit_bias"),
    }

    def routes(self) -> Mapping[tuple[str, str], Route]:
        """Return what is answered, by method and path."""
        return {
            **super().routes(),
            ("GET", "/health"): self._health,
            ("GET", "/get_model_info"): self._model_info,
            ("GET", "/get_server_info"): self._server_info,
            ("POST", "/tokenize"): self._tokenize,
            ("POST", "/detokenize"): self._detokenize,
            ("POST", "/generate"): self._generate,
        }

    def refusal(self, problem: Refused) -> Any:
        """Return a flat object; of routes `detail`, of keys `error`."""
        if problem.kind == "path":
            return {"detail": problem.message}
        if problem.kind == "key":
            return {"error": problem.message}
        flat = {"object": "error", "message": problem.message, "type": problem.kind}
        return {**flat, "param": problem.param, "code": problem.status}

    def described(self) -> dict[str, Any]:
        """Return the entry of the model in the list of models."""
        more = {"owned_by": "sglang", "root": "made", "max_model_len": self.settings.context}
        return {**super().described(), **more}

    def check(self, body: dict[str, Any]) -> None:
        """Refuse a generation of nothing."""
        super().check(body)
        if body.get("max_tokens", 1) <= 0:
            raise Refused(400, "max_tokens must be positive", param="max_tokens")

    def chunk_extra(
        self, body: dict[str, Any], made: Generation, steps: Sequence[Step], first: bool
    ) -> dict[str, Any]:
        """Return the ids of a chunk where they are wanted."""
        return {"token_ids": [step.token for step in steps]} if body.get("return_token_ids") else {}

    def extra(self, body: dict[str, Any], made: Generation) -> dict[str, Any]:
        """Return the ids of an answer where they are wanted."""
        return {"token_ids": made.tokens} if body.get("return_token_ids") else {}

    async def _health(self, exchange: Exchange) -> None:
        await exchange.answer.send(200, None)

    async def _model_info(self, exchange: Exchange) -> None:
        told = {"model_path": "/models/made", "tokenizer_path": "/models/made", "is_generation": True}
        await exchange.answer.send(200, told)

    async def _server_info(self, exchange: Exchange) -> None:
        told = {"version": "0.5.6", "context_length": self.settings.context}
        await exchange.answer.send(200, {**told, "served_model_name": self.settings.model_name})

    async def _tokenize(self, exchange: Exchange) -> None:
        body = self.read(exchange)
        ids = encode(body["prompt"], special=body.get("add_special_tokens", True))
        told = {"tokens": ids, "count": len(ids), "max_model_len": self.settings.context}
        await exchange.answer.send(200, told)

    async def _detokenize(self, exchange: Exchange) -> None:
        body = self.read(exchange)
        await exchange.answer.send(200, {"text": decode(body["tokens"], skip_special=False)})

    async def _generate(self, exchange: Exchange) -> None:
        body = self.read_own(exchange, "sampling_params")
        ids = body["input_ids"] if "input_ids" in body else encode(body["text"])
        if not ids or any(not 0 <= one < VOCABULARY for one in ids):
            raise Refused(400, "input_ids are out of the vocabulary or empty", param="input_ids")
        params = body.get("sampling_params", {})
        if unknown := params.keys() - _PARAMETERS:
            raise Refused(400, f"SamplingParams got an unexpected keyword argument {min(unknown)!r}")
        ids = self.own_ids(ids, were_text="text" in body)
        made = generated(self.model, ids, self._native_wish(params, ids))
        if body.get("stream"):
            await self.send_stream(exchange, self._native_events(body, made))
            return
        exchange.output_tokens = len(made.steps)
        await exchange.answer.send(200, self._native(body, made, len(made.steps), len(made.steps)))

    def _native_wish(self, params: dict[str, Any], ids: Sequence[int]) -> Wish:
        stop = params.get("stop", ())
        return Wish(
            max_tokens=self.limit(params.get("max_new_tokens", 128), ids),
            temperature=params.get("temperature", 1.0),
            top_p=params.get("top_p", 1.0),
            stop=(stop,) if isinstance(stop, str) else tuple(stop or ()),
            stop_ids=tuple(params.get("stop_token_ids") or ()),
            ignore_eos=bool(params.get("ignore_eos")),
            min_tokens=params.get("min_new_tokens", 0),
            seed=params.get("sampling_seed"),
            top_k=params.get("top_k", -1),
            bias={int(token): each for token, each in (params.get("logit_bias") or {}).items()},
        )

    def _native_events(self, body: dict[str, Any], made: Generation) -> Iterator[Sending]:
        done = 0
        for steps in pieces(made.steps, self.settings.tokens_per_chunk):
            done += len(steps)
            yield Sending(as_event(self._native(body, made, done, len(steps))), len(steps))

    def _native(self, body: dict[str, Any], made: Generation, done: int, new: int) -> dict[str, Any]:
        """Return all there is after `done` tokens, or what is new of it."""
        steps = made.steps[:done]
        is_last = done == len(made.steps)
        finish = self._finish(made) if is_last else None
        meta = {
            "id": "made-1",
            "finish_reason": finish,
            "prompt_tokens": len(made.prompt),
            "completion_tokens": done,
            "cached_tokens": 0,
        }
        if body.get("return_logprob"):
            meta |= self._native_logprobs(body, made, steps)
        if self.settings.incremental:
            steps = steps[done - new :]
        text = "".join(step.text for step in steps)
        return {"text": text, "output_ids": [step.token for step in steps], "meta_info": meta}

    def _finish(self, made: Generation) -> dict[str, Any]:
        if made.finish == "length":
            return {"type": "length", "length": len(made.steps)}
        return {"type": "stop", "matched": made.stop_reason or made.tokens[-1]}

    def _native_logprobs(
        self, body: dict[str, Any], made: Generation, steps: Sequence[Step]
    ) -> dict[str, Any]:
        wanted, count = body.get("token_ids_logprob"), body.get("top_logprobs_num", 0)
        told: dict[str, Any] = {
            "output_token_logprobs": [self._entry(step.row, step.token) for step in steps],
            "output_top_logprobs": [self._best(step.row, count) for step in steps],
        }
        if wanted:
            told["output_token_ids_logprobs"] = [
                [self._entry(step.row, one) for one in wanted] for step in steps
            ]
        begin = body.get("logprob_start_len", -1)
        if begin >= 0:
            prompt = self.model.prompt_logprobs(made.prompt)[begin:]
            behind = made.prompt[begin + 1 :]
            told["input_token_logprobs"] = [
                [None, made.prompt[begin], None],  # wherever it begins
                *(self._entry(row, token) for row, token in zip(prompt, behind, strict=True)),
            ]
            told["input_top_logprobs"] = [None, *(self._best(row, count) for row in prompt)]
        return told

    def _best(self, row: np.ndarray, count: int) -> list[list[Any]] | None:
        best = np.argsort(-row, kind="stable")[:count]
        return [self._entry(row, int(token)) for token in best] or None

    def _entry(self, row: np.ndarray, token: int) -> list[Any]:
        return [float(row[token]) + self.settings.own_shift, token, None]


_PARAMETERS = frozenset(
    {
        *("max_new_tokens", "min_new_tokens", "temperature", "top_p", "top_k", "min_p", "stop"),
        *("stop_token_ids", "ignore_eos", "repetition_penalty", "presence_penalty", "frequency_penalty"),
        *("sampling_seed", "logit_bias", "skip_special_tokens", "no_stop_trim"),
    }
)
"""Any other is refused."""
