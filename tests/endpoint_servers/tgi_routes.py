"""TGI's own routes, `/generate` and `/generate_stream`, as TGI and MindIE Service have them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from dialect import Dialect, Exchange, Refused, Route, Sending
from made_generation import Generation, Step, Wish, generated, pieces
from made_http import as_event
from made_model import END_IDS, SPECIAL_IDS, decode, encode

WARPERS = ("temperature", "top_k", "top_p")


class TgiRoutes(Dialect):
    """Texts as prompts; the tokens of an answer with their log-probabilities, the prompt's if asked."""

    tells_stop = True
    """Whether a text that stops the answer is told with it."""

    default_new_tokens = 100
    refuses_own = staticmethod(lambda message: Refused(422, message, "validation"))

    def tgi_routes(self) -> Mapping[tuple[str, str], Route]:
        """Return what is answered, by method and path."""
        return {
            ("POST", "/generate"): self._generate,
            ("POST", "/generate_stream"): self._generate_stream,
        }

    def prefill(self, made: Generation) -> list[dict[str, Any]]:
        """Return what is told of the prompt: by TGI from version 3 on only if it was started for that."""
        if not self.settings.prefill:
            return []
        rows = [None, *self.model.prompt_logprobs(made.prompt)]
        return [self._entry(token, row) for token, row in zip(made.prompt, rows, strict=True)]

    def own_details(self, made: Generation, *, streamed: bool) -> dict[str, Any]:
        """Return counts and the reason of the end."""
        counts = {"generated_tokens": len(made.steps)}
        if streamed:
            counts["input_length"] = len(made.prompt)
        return {"finish_reason": tgi_finish(made), "seed": None, **counts}

    def own_token(self, step: Step) -> dict[str, Any]:
        """Return one token of an answer."""
        is_special = step.token in SPECIAL_IDS.values()
        text = decode([step.token], skip_special=False) if is_special else step.text
        return {**self._entry(step.token, step.row), "text": text, "special": is_special}

    def _entry(self, token: int, row: np.ndarray | None) -> dict[str, Any]:
        logprob = None if row is None else float(row[token]) + self.settings.own_shift
        return {"id": token, "text": decode([token], skip_special=False), "logprob": logprob}

    def _made(self, exchange: Exchange) -> tuple[dict[str, Any], Generation]:
        body = self.read_own(exchange, "parameters")
        if not isinstance(body.get("inputs"), str):
            raise self.refuses_own("Failed to deserialize the JSON body: missing field `inputs`")
        params = body["parameters"]
        self._check_own(params)
        ids = self.own_ids(encode(body["inputs"]), were_text=True)
        draws = params.get("do_sample") or any(params.get(name) is not None for name in WARPERS)
        wish = Wish(
            max_tokens=self.limit(params.get("max_new_tokens") or self.default_new_tokens, ids),
            temperature=(params.get("temperature") or 1.0) if draws else 0.0,
            top_k=params.get("top_k") or 0,
            top_p=params.get("top_p") or 1.0,
            seed=params.get("seed"),
            stop=tuple(params.get("stop") or ()),
            tells_stop=self.tells_stop,
        )
        return params, generated(self.model, ids, wish)

    def _check_own(self, params: Mapping[str, Any]) -> None:
        """Refuse what is out of its range, neutral values among it; names that are not known are ignored."""
        for name in (*WARPERS, "max_new_tokens", "typical_p", "repetition_penalty"):
            if params.get(name) is not None and params[name] <= 0:
                raise self.refuses_own(f"Input validation error: `{name}` must be strictly positive")
        if params.get("top_p") is not None and params["top_p"] >= 1:
            raise self.refuses_own("Input validation error: `top_p` must be > 0.0 and < 1.0")
        if (params.get("top_n_tokens") or 0) > 5:
            raise self.refuses_own("Input validation error: `top_n_tokens` must be >= 0 and <= 5")

    async def _generate(self, exchange: Exchange) -> None:
        params, made = self._made(exchange)
        exchange.output_tokens = len(made.steps)
        answer: dict[str, Any] = {"generated_text": made.text}
        if params.get("details") or params.get("decoder_input_details"):
            tokens = [self.own_token(step) for step in made.steps]
            prefill = self.prefill(made) if params.get("decoder_input_details") else []
            answer["details"] = {
                **self.own_details(made, streamed=False),
                "prefill": prefill,
                "tokens": tokens,
                "top_tokens": [self._best(step.row, params.get("top_n_tokens") or 0) for step in made.steps],
            }
        await exchange.answer.send(200, answer)

    def _best(self, row: np.ndarray, count: int) -> list[dict[str, Any]]:
        return [self._entry(int(token), row) for token in np.argsort(-row, kind="stable")[:count]]

    async def _generate_stream(self, exchange: Exchange) -> None:
        params, made = self._made(exchange)
        if params.get("decoder_input_details"):
            raise self.refuses_own("`decoder_input_details` == true is not supported when streaming tokens")
        await self.send_stream(exchange, self.own_events(made), done=False)

    def own_events(self, made: Generation) -> Iterator[Sending]:
        """Yield the events of a stream: a token each."""
        for place, step in enumerate(made.steps):
            is_last = place == len(made.steps) - 1
            event: dict[str, Any] = {"index": place + 1, "token": self.own_token(step), "top_tokens": None}
            event["generated_text"] = made.text if is_last else None
            event["details"] = self.own_details(made, streamed=True) if is_last else None
            yield Sending(as_event(event), 1)


class MindieTgiRoutes(TgiRoutes):
    """MindIE's: no log-probabilities, the prompt's ids are told, and streams have lists of ids."""

    tells_stop = False
    default_new_tokens = 20
    refuses_own = staticmethod(lambda message: Refused(422, message))

    def prefill(self, made: Generation) -> list[dict[str, Any]]:
        """Return the ids of the prompt."""
        return [{"id": token, "logprob": None, "special": None, "text": None} for token in made.prompt]

    def own_details(self, made: Generation, *, streamed: bool) -> dict[str, Any]:
        """Return counts and the reason of the end."""
        counts = {"prompt_tokens": len(made.prompt), "generated_tokens": len(made.steps)}
        return {"finish_reason": tgi_finish(made), "seed": 1, **counts}

    def own_token(self, step: Step) -> dict[str, Any]:
        """Return one token of an answer."""
        return {"id": step.token, "logprob": None, "special": None, "text": None}

    def own_events(self, made: Generation) -> Iterator[Sending]:
        """Yield the events of a stream: the tokens of a step each."""
        groups, said = pieces(made.steps, self.settings.tokens_per_chunk), ""
        for place, steps in enumerate(groups):
            text = "".join(step.text for step in steps)
            said += text
            token = {"id": [step.token for step in steps], "text": said if self.settings.full_text else text}
            is_last = place == len(groups) - 1
            yield Sending(
                as_event(
                    {
                        "token": {**token, "logprob": None, "special": None},
                        "generated_text": made.text if is_last else None,
                        "details": self.own_details(made, streamed=True) if is_last else None,
                    }
                ),
                len(steps),
            )


def tgi_finish(made: Generation) -> str:
    """Return the reason of the end in TGI's words."""
    if made.finish == "length":
        return "length"
    is_end = bool(made.steps) and made.steps[-1].token in END_IDS and not isinstance(made.stop_reason, str)
    return "eos_token" if is_end else "stop_sequence"
