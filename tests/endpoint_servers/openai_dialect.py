"""Completions and chat in the forms of OpenAI, with what differs between servers as attributes."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from dialect import Dialect, Exchange, Refused, Route, Sending
from made_generation import Generation, Step, Wish, generated, pieces
from made_http import as_event
from made_model import VOCABULARY, decode, encode, lay_out, token_bytes

SAMPLING = frozenset({"temperature", "top_k", "top_p", "seed", "stop", "max_tokens", "stream"})


class OpenAIDialect(Dialect):
    """The two routes that nearly every server has."""

    takes: frozenset[str] = SAMPLING
    """Fields that mean something here; all others are ignored in silence."""

    refuses_beyond: frozenset[str] | None = None
    """Of a server that refuses fields it does not know: those that it takes without a use for them."""

    default_max_tokens = 16
    id_prompts = True
    lists_of_prompts = True
    tells_stop = False
    most_logprobs: int = 20
    usage_with_last_token = False
    reasoning_field = "reasoning_content"

    def routes(self) -> Mapping[tuple[str, str], Route]:
        """Return what is answered, by method and path."""
        return {
            ("GET", "/v1/models"): self.models,
            ("POST", "/v1/completions"): self.completions,
            ("POST", "/v1/chat/completions"): self.chat,
        }

    def described(self) -> dict[str, Any]:
        """Return the entry of the model in the list of models."""
        return {"id": self.settings.model_name, "object": "model", "created": 0, "owned_by": "made"}

    async def models(self, exchange: Exchange) -> None:
        """GET /v1/models."""
        await exchange.answer.send(200, {"object": "list", "data": [self.described()]})

    async def completions(self, exchange: Exchange) -> None:
        """POST /v1/completions."""
        body = self._taken(exchange)
        prompts = self._prompts(body)
        self.check(body)
        if body.get("stream"):
            if len(prompts) > 1:
                raise Refused(400, "streams of several prompts are not made here")
            events = self._completion_events(body, prompts[0])
            await self.send_stream(exchange, events)
            return
        made = [self._generated(body, prompt) for prompt in prompts]
        exchange.output_tokens = sum(len(each.steps) for each in made)
        await self.pause(max(len(each.steps) for each in made))
        choices = [self._choice(body, index, each) for index, each in enumerate(made)]
        await exchange.answer.send(200, self._whole("text_completion", choices, self._usage(made)))

    async def chat(self, exchange: Exchange) -> None:
        """POST /v1/chat/completions."""
        body = self._taken(exchange)
        messages = body.get("messages")
        if not isinstance(messages, list) or not messages:
            raise Refused(400, "Cannot apply chat template to an empty conversation.")
        self.check(body)
        prompt = encode(lay_out(messages), special=False)
        if body.get("stream"):
            await self.send_stream(exchange, self._chat_events(body, prompt))
            return
        made = self._generated(body, prompt, default=self.settings.context)
        exchange.output_tokens = len(made.steps)
        await self.pause(len(made.steps))
        thought, said = self._parted(body, made.steps)
        message = {"role": "assistant", "content": _text(said)}
        if self.settings.reasoning:
            message[self.reasoning_field] = _text(thought) or None
        logprobs = self._chat_logprobs(body, made.steps)
        choice = {"index": 0, "message": message, "logprobs": logprobs, "finish_reason": made.finish}
        usage = self._usage([made], thought)
        await exchange.answer.send(200, self._whole("chat.completion", [choice], usage))

    def check(self, body: dict[str, Any]) -> None:
        """Refuse what this kind of server refuses."""
        if body.get("stream_options") and not body.get("stream"):
            why = "Stream options can only be defined when `stream=True`."
            raise Refused(400, why, param="stream_options")

    def echoed(self, body: dict[str, Any]) -> bool:
        """Say whether the prompt is to be told as well."""
        return bool(body.get("echo"))

    def token_text(self, body: dict[str, Any], token: int) -> str:
        """Return what stands for a token where texts do."""
        if body.get("return_tokens_as_token_ids"):
            return f"token_id:{token}"
        return decode([token], skip_special=False)

    def _taken(self, exchange: Exchange) -> dict[str, Any]:
        body = self.read(exchange)
        name = body.get("model")
        if name is not None and name != self.settings.model_name:
            raise self.unknown_model(str(name))
        ours = self.takes | {"model", "prompt", "messages", "chat_template_kwargs"}
        if self.refuses_beyond is not None and (others := body.keys() - ours - self.refuses_beyond):
            raise self.unexpected(sorted(others))
        return {key: value for key, value in body.items() if key in ours and value is not None}

    def unexpected(self, names: Iterable[str]) -> Refused:
        """Return the refusal of fields that are not known."""
        raise NotImplementedError

    def unknown_model(self, name: str) -> Refused:
        """Return the refusal of a model that is not served."""
        return Refused(404, f"The model `{name}` does not exist.", "NotFoundError", "model")

    def _prompts(self, body: dict[str, Any]) -> list[list[int]]:
        prompt = body.get("prompt")
        if isinstance(prompt, str) and prompt:
            return [encode(prompt, special=body.get("add_special_tokens", True))]
        if isinstance(prompt, list) and prompt:
            if all(isinstance(one, int) for one in prompt) and self.id_prompts:
                return [self._in_vocabulary(prompt)]
            if self.lists_of_prompts and not any(isinstance(one, int) for one in prompt):
                return [self._prompts({**body, "prompt": one})[0] for one in prompt]
        raise Refused(400, "prompt is of no form that is served here", param="prompt")

    def _in_vocabulary(self, ids: list[int]) -> list[int]:
        wrong = next((one for one in ids if not 0 <= one < VOCABULARY), None)
        if wrong is not None:
            raise Refused(400, f"Token id {wrong} is out of vocabulary")
        return ids

    def wish(self, body: dict[str, Any], prompt: Sequence[int], default: int) -> Wish:
        """Return what is asked of the generation."""
        wanted = body.get("max_completion_tokens", body.get("max_tokens", default))
        stop = body.get("stop", ())
        return Wish(
            max_tokens=self.limit(wanted, prompt) if wanted else 0,
            temperature=body.get("temperature", 1.0),
            top_k=body.get("top_k", 0),
            top_p=body.get("top_p", 1.0),
            seed=body.get("seed"),
            stop=(stop,) if isinstance(stop, str) else tuple(stop),
            stop_ids=tuple(body.get("stop_token_ids", ())),
            tells_stop=self.tells_stop,
            ignore_eos=bool(body.get("ignore_eos")),
            min_tokens=body.get("min_tokens", 0),
            bias=_bias(body.get("logit_bias", {})),
        )

    def _generated(
        self, body: dict[str, Any], prompt: Sequence[int], default: int | None = None
    ) -> Generation:
        wish = self.wish(body, prompt, self.default_max_tokens if default is None else default)
        return generated(self.model, prompt, wish)

    def _choice(self, body: dict[str, Any], index: int, made: Generation) -> dict[str, Any]:
        text = made.text
        if self.echoed(body):
            text = decode(made.prompt) + text
        choice = {"index": index, "text": text, "finish_reason": made.finish, "stop_reason": made.stop_reason}
        return {
            **choice,
            "logprobs": self.completion_logprobs(body, made, made.steps, first=True),
            **self.extra(body, made),
        }

    def extra(self, body: dict[str, Any], made: Generation) -> dict[str, Any]:
        """Return what else this kind of server tells of a choice."""
        return {}

    def completion_logprobs(
        self, body: dict[str, Any], made: Generation, steps: Sequence[Step], *, first: bool
    ) -> Any:
        """Return `logprobs` of a choice, or of the chunk with `steps`: the prompt's too if it is echoed."""
        wanted = body.get("logprobs")
        if wanted is None:
            return None
        tokens = [step.token for step in steps]
        rows: list[np.ndarray | None] = [step.row for step in steps]
        if first and self.echoed(body):
            tokens = [*made.prompt, *tokens]
            rows = [None, *self.model.prompt_logprobs(made.prompt), *rows]
        texts = [self.token_text(body, token) for token in tokens]
        offsets = [sum(map(len, texts[:place])) for place in range(len(texts))]
        return {
            "text_offset": offsets,
            "tokens": texts,
            "token_logprobs": [
                None if row is None else float(row[token]) for token, row in zip(tokens, rows, strict=True)
            ],
            "top_logprobs": [
                None if row is None else self._top(body, token, row, int(wanted))
                for token, row in zip(tokens, rows, strict=True)
            ],
        }

    def _top(self, body: dict[str, Any], token: int, row: np.ndarray, count: int) -> dict[str, float]:
        chosen = body.get("logprob_token_ids") or _best(row, count)
        return {self.token_text(body, each): float(row[each]) for each in dict.fromkeys((token, *chosen))}

    def _chat_logprobs(self, body: dict[str, Any], steps: Sequence[Step]) -> Any:
        if not body.get("logprobs"):
            return None
        count = body.get("top_logprobs", 0)

        def entry(token: int, row: np.ndarray) -> dict[str, Any]:
            text = self.token_text(body, token)
            return {"token": text, "logprob": float(row[token]), "bytes": list(token_bytes(token))}

        return {
            "content": [
                {
                    **entry(step.token, step.row),
                    "top_logprobs": [entry(each, step.row) for each in _best(step.row, count)],
                }
                for step in steps
            ]
        }

    def _completion_events(self, body: dict[str, Any], prompt: Sequence[int]) -> Iterator[Sending]:
        made = self._generated(body, prompt)
        groups, said, done = pieces(made.steps, self.settings.tokens_per_chunk), "", 0
        for place, steps in enumerate(groups):
            said, done = said + _text(steps), done + len(steps)
            is_last = place == len(groups) - 1
            text = said if self.settings.full_text else _text(steps)
            if place == 0 and self.echoed(body):
                text = decode(made.prompt) + text
            choice = {
                "index": 0,
                "text": text,
                "logprobs": self.completion_logprobs(body, made, steps, first=place == 0),
                "finish_reason": self.finish_of_chunk(made, is_last),
                "stop_reason": made.stop_reason if is_last else None,
                **self.chunk_extra(body, made, steps, place == 0),
            }
            usage = self._chunk_usage(body, made, done, is_last)
            yield Sending(as_event(self._whole("text_completion", [choice], usage)), len(steps))
        yield from self._usage_event(body, made, "text_completion")

    def finish_of_chunk(self, made: Generation, is_last: bool) -> str | None:
        """Return the reason of the end that a chunk tells: the last one with tokens."""
        return made.finish if is_last else None

    def chunk_extra(
        self, body: dict[str, Any], made: Generation, steps: Sequence[Step], first: bool
    ) -> dict[str, Any]:
        """Return what else this kind of server tells of a chunk."""
        return {}

    def _chat_events(self, body: dict[str, Any], prompt: Sequence[int]) -> Iterator[Sending]:
        made = self._generated(body, prompt, default=self.settings.context)
        yield from self._role_event()
        thought, _ = self._parted(body, made.steps)
        groups, said, done = pieces(made.steps, self.settings.tokens_per_chunk), "", 0
        for place, steps in enumerate(groups):
            name = self.reasoning_field if done < len(thought) else "content"
            said, done = said + _text(steps), done + len(steps)
            is_last = place == len(groups) - 1
            delta = {name: said if self.settings.full_text else _text(steps)}
            choice = {
                "index": 0,
                "delta": {**self.delta_role, **delta},
                "logprobs": self._chat_logprobs(body, steps),
                "finish_reason": self.finish_of_chunk(made, is_last),
            }
            usage = self._chunk_usage(body, made, done, is_last)
            yield Sending(as_event(self._whole("chat.completion.chunk", [choice], usage)), len(steps))
        yield from self._usage_event(body, made, "chat.completion.chunk")

    delta_role: Mapping[str, str] = {}
    """What each delta of a chat carries."""

    def _role_event(self) -> Iterator[Sending]:
        delta = {"role": "assistant", "content": ""}
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": None}
        yield Sending(as_event(self._whole("chat.completion.chunk", [choice], None)))

    def _usage_event(self, body: dict[str, Any], made: Generation, kind: str) -> Iterator[Sending]:
        if body.get("stream_options", {}).get("include_usage") and not self.usage_with_last_token:
            yield Sending(as_event(self._whole(kind, [], self._usage([made]))))

    def _chunk_usage(self, body: dict[str, Any], made: Generation, done: int, is_last: bool) -> Any:
        options = body.get("stream_options", {})
        always = options.get("include_usage") and options.get("continuous_usage_stats")
        if always or (self.usage_with_last_token and is_last):
            return _counts(len(made.prompt), done)
        return None

    def _parted(self, body: dict[str, Any], steps: Sequence[Step]) -> tuple[Sequence[Step], Sequence[Step]]:
        """Return thoughts and what is said: half and half, where the server parts them."""
        thinks = body.get("chat_template_kwargs", {}).get("enable_thinking", True)
        at = len(steps) // 2 if self.settings.reasoning and thinks else 0
        return steps[:at], steps[at:]

    def _usage(self, made: Sequence[Generation], thought: Sequence[Step] = ()) -> dict[str, Any]:
        usage = _counts(sum(len(one.prompt) for one in made), sum(len(one.steps) for one in made))
        if thought:
            usage["completion_tokens_details"] = {"reasoning_tokens": len(thought)}
        return usage

    def whole_extra(self, choices: list[Any]) -> dict[str, Any]:
        """Return what else this kind of server tells of an answer or a chunk with these choices."""
        return {}

    def _whole(self, kind: str, choices: list[Any], usage: Any) -> dict[str, Any]:
        whole = {"id": "made-1", "object": kind, "created": int(time.time())}
        whole |= {"model": self.settings.model_name, "choices": choices, **self.whole_extra(choices)}
        return whole if usage is None else {**whole, "usage": usage}


def _bias(value: Any) -> dict[int, float]:
    """Return the bias by id: of an object, or of a list of pairs as llama.cpp takes it."""
    return {int(token): float(each) for token, each in (value.items() if isinstance(value, dict) else value)}


def _text(steps: Sequence[Step]) -> str:
    return "".join(step.text for step in steps)


def _best(row: np.ndarray, count: int) -> list[int]:
    return [int(place) for place in np.argsort(-row, kind="stable")[:count]]


def _counts(prompt: int, completion: int) -> dict[str, Any]:
    return {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}
