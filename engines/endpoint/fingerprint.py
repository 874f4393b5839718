"""A served model known again: the log-probabilities of fixed texts, asked twice to see how they scatter."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from typing import Any

from engines.endpoint.routes.completions import CHAT, COMPLETIONS
from engines.endpoint.routes.replies import Reply, ReplyError, read_reply
from engines.endpoint.routes.route import Route
from engines.endpoint.server import Server, echo_fields
from engines.endpoint.transport.client import Unanswered
from modeltest.api import EngineError, ServedModel, mean_distance

TEXTS = (
    "The lighthouse keeper counted the ships each evening and wrote their names into a ledger bound in green "
    "cloth, which his daughter later gave to the museum in the harbour town.",
    "To make bread, mix flour, water, salt and yeast, knead the dough for ten minutes, let it rise until it "
    "has doubled in size, and bake it in a hot oven until the crust is brown.",
    "def mean(values):\n    total = 0\n    for value in values:\n        total += value\n"
    "    return total / len(values)\n",
    "In 1869 Dmitri Mendeleev arranged the known elements by their atomic weight and left gaps for those "
    "that had not been found yet.",
)
"""Fixed for good: runs of different versions are compared by them."""

_ANSWER_TOKENS = 24

_MOST_NOISE = 0.025
"""Mean distance of a server from itself. In bfloat16 other batches are 0.0015 apart, other weights 0.04."""


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """What a model says to the fixed texts, to all of them and to each."""

    whole: ServedModel
    parts: tuple[ServedModel, ...]


async def fingerprint(server: Server) -> Fingerprint:
    """Ask what the model says to the fixed texts, all together and then one by one.

    Raises: Unanswered; EngineError where it says one thing and then another.
    """
    together: list[float] | None = None
    if _tells_logprobs(server):
        # The fifth shifts the turns of two, three or four servers that share the address.
        answers = await asyncio.gather(*(said_to(server, place) for place in (*range(len(TEXTS)), 0)))
        together = [value for each in answers[:-1] for value in each.logprobs]
    # One by one they are asked alike in every run, whatever the server's batch size.
    parts = [await said_to(server, place) for place in range(len(TEXTS))]
    if together is None:
        texts = tuple(text for part in parts for text in part.texts)
        return Fingerprint(ServedModel(server.model, texts=texts), tuple(parts))
    known = tuple(value for part in parts for value in part.logprobs)
    if len(known) != len(together):
        raise Unanswered("a fixed prompt has more log-probabilities at one time than at another")
    noise = mean_distance(known, together)
    if not noise <= _MOST_NOISE:
        raise EngineError(
            f"{server.client.address.base} answers the same fixed prompts otherwise each time "
            f"(log-probabilities are {noise:.2g} apart in the mean): do several models share the address? "
            "Ask one of them"
        )
    parts = [replace(part, noise=noise) for part in parts]
    return Fingerprint(ServedModel(server.model, known, noise), tuple(parts))


async def said_to(server: Server, place: int) -> ServedModel:
    """Ask what the model says to one of the fixed texts.

    Raises: Unanswered.
    """
    text = TEXTS[place]
    try:
        if _tells_logprobs(server):
            found = await _logprobs(server, text)
            return ServedModel(server.model, tuple(round(value, 6) for value in found))
        return ServedModel(server.model, texts=(await _answer(server, text),))
    except (Unanswered, ReplyError) as problem:
        raise Unanswered(f"a fixed prompt is not answered: {problem}") from None


def _tells_logprobs(server: Server) -> bool:
    return server.can("prompt_logprobs") or server.can("echo")


async def _logprobs(server: Server, text: str) -> list[float]:
    if (route := server.route_of("prompt_logprobs")) is not None:
        reply = await _reply(server, route, text, new_tokens=1, prompt_logprobs=0)
        return [max(each.logprob for each in place.values()) for place in reply.prompt_logprobs[1:] if place]
    body = server.completion(text, **echo_fields(server))
    value = await _value(server, COMPLETIONS, body)
    count = read_reply(value).usage.prompt_tokens
    try:
        found = value["choices"][0]["logprobs"]["token_logprobs"]
        return [float(each) for each in found[1:count]]
    except (KeyError, IndexError, TypeError, ValueError):
        raise ReplyError("the answer has no log-probabilities of its prompt") from None


async def _answer(server: Server, text: str) -> str:
    if (route := server.route_of("completions")) is not None:
        return (await _reply(server, route, text, new_tokens=_ANSWER_TOKENS)).text
    body = server.chat([{"role": "user", "content": text}], new_tokens=_ANSWER_TOKENS)
    reply = read_reply(await _value(server, CHAT, body))
    return reply.thoughts + reply.text


async def _reply(server: Server, route: Route, text: str, **wishes: Any) -> Reply:
    path, body = route.request(server.completion(text, **wishes))
    return route.read(await _value(server, path, body))


async def _value(server: Server, path: str, body: dict[str, Any]) -> Any:
    reply = await server.client.probe(path, body)
    if reply.status != 200:
        raise Unanswered(f"status {reply.status}: {reply.text}")
    return reply.value
