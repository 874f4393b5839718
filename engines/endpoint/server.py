"""One served model: how it is asked, and what was found out of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from engines.endpoint.dialects import NEUTRAL, Recognized
from engines.endpoint.routes.completions import Completions
from engines.endpoint.routes.replies import Reply
from engines.endpoint.routes.route import Route
from engines.endpoint.transport.client import Client
from modeltest.api import Ability, Sampling

Prompt = str | Sequence[int]

TOP = 20
"""The most likeliest tokens that vLLM tells unless it is started otherwise."""


@dataclass(slots=True)
class Server:
    """A model of an endpoint; `abilities` are those that were looked for, by name, on whichever route."""

    client: Client
    model: str
    seen: Recognized
    abilities: dict[str, Ability] = field(default_factory=dict)
    counting: set[str] = field(default_factory=set)
    """Routes, by name, whose answers say how many tokens they have where nothing is streamed."""

    has_arrivals: bool = False
    """Whether times of streams are those at which this kernel had their bytes; else of the reads."""

    natives: tuple[Route, ...] = ()
    """The server's own routes that were found to be right, in the order in which they are preferred."""

    is_alone: bool = True
    """Whether it is the only model served: the server's own routes name none."""

    by_route: dict[str, dict[str, Ability]] = field(default_factory=dict)
    """What was looked for on each route, by the route's name and the ability's."""

    @property
    def openai(self) -> Completions:
        """OpenAI's route, with the fields that this server has there."""
        return Completions(self.seen.dialect.fields, self.seen.dialect.ends_with_done)

    def note(self, route: Route, found: Sequence[Ability]) -> None:
        """Note what was seen on a route; OpenAI's comes first and tells, where it has an ability."""
        self.by_route.setdefault(route.name, {}).update({each.name: each for each in found})
        is_openai = route.name == self.openai.name
        for ability in found:
            known = self.abilities.get(ability.name)
            self.abilities[ability.name] = ability if is_openai else _together(known, ability, route)

    def can(self, name: str) -> bool:
        """Say whether an ability was seen."""
        found = self.abilities.get(name)
        return found is not None and found.is_there is True

    def has(self, route: Route, name: str) -> bool:
        """Say whether an ability was seen on a route."""
        found = self.by_route.get(route.name, {}).get(name)
        return found is not None and found.is_there is True

    def route_of(self, *needs: str) -> Route | None:
        """Return the route that has all of `needs`, OpenAI's before the server's own; `None` without one.

        An ability that there is no way to see is no hindrance.
        """
        for route in (self.openai, *self.natives):
            seen = self.by_route.get(route.name, {})
            if all(name in seen and seen[name].is_there is not False for name in needs):
                return route
        return None

    async def reply(self, route: Route, prompt: Prompt, *, new_tokens: int, **fields: Any) -> Reply:
        """Return the answer to a completion; see `completion`.

        Raises: Unanswered, ReplyError; ServerGone; PrerequisiteError for a key that is refused.
        """
        path, body = route.request(self.completion(prompt, new_tokens=new_tokens, **fields))
        return route.read(await self.client.post(path, body))

    def completion(self, prompt: Prompt, *, new_tokens: int, **fields: Any) -> dict[str, Any]:
        """Return the body of a completion that takes the likeliest token, unless `fields` say otherwise."""
        asked = prompt if isinstance(prompt, str) else list(prompt)
        return self._body({"prompt": asked, "max_tokens": new_tokens}, fields)

    def chat(self, turns: Sequence[Mapping[str, str]], *, new_tokens: int, **fields: Any) -> dict[str, Any]:
        """Return the body of a chat that takes the likeliest token, unless `fields` say otherwise."""
        return self._body({"messages": list(turns), "max_tokens": new_tokens}, fields)

    def takes(self, name: str) -> bool:
        """Say whether the server may be sent a field that OpenAI's interface does not have."""
        return name in self.seen.dialect.fields

    def _body(self, own: Mapping[str, Any], fields: Mapping[str, Any]) -> dict[str, Any]:
        neutral: dict[str, Any] = dict(zip(NEUTRAL, (1, 0, 0), strict=True))
        for name in ("repetition_penalty", "repeat_penalty"):
            if self.takes(name):
                neutral[name] = 1
        if self.takes("cache_prompt"):
            neutral["cache_prompt"] = False  # llama.cpp says that answers may differ with what is in it
        return {"model": self.model, "temperature": 0, **neutral, **own, **fields}


def _together(known: Ability | None, ability: Ability, route: Route) -> Ability:
    """Return what two routes showed of one ability, or the one of the server's own that alone was asked."""
    if known is not None and known.is_there is True:
        return known
    tells = known is None or ability.is_there is not False
    if tells or (known is not None and known.is_there is None and _is_of_model(ability)):
        return replace(ability, seen=f"{ability.seen} ({route.name})")
    assert known is not None
    return replace(known, seen=f"{known.seen}; {route.name}: {ability.seen}")


def _is_of_model(ability: Ability) -> bool:
    """Say whether an ability is the model's: seen on one route, it is so on all."""
    return ability.name == "float32_logits"


def sampling_fields(server: Server, sampling: Sampling, seed: int) -> dict[str, Any]:
    """Return the fields of a request that draws; what is not set restricts nothing, as in transformers."""
    fields: dict[str, Any] = {
        "temperature": 1.0 if sampling.temperature is None else sampling.temperature,
        "top_p": 1.0 if sampling.top_p is None else sampling.top_p,
    }
    if server.takes("top_k"):
        fields["top_k"] = sampling.top_k or server.seen.dialect.off_top_k
    if server.takes("min_p"):
        fields["min_p"] = 0
    if server.takes("seed"):
        fields["seed"] = seed
    return fields


def echo_fields(server: Server) -> dict[str, Any]:
    """Return what asks for the log-probabilities of a prompt in OpenAI's old way."""
    asked = {"echo": True, "logprobs": 1, "new_tokens": server.seen.dialect.least_echo_tokens}
    return asked | (
        {"return_tokens_as_token_ids": True} if server.takes("return_tokens_as_token_ids") else {}
    )


def chosen_fields(ids: Sequence[int]) -> dict[str, Any]:
    """Return what asks for the log-probabilities of the next token being one of `ids`."""
    return {"logprobs": 1, "logprob_token_ids": list(ids), "return_tokens_as_token_ids": True}


def top_fields() -> dict[str, Any]:
    """Return what asks for the likeliest next tokens."""
    return {"logprobs": TOP, "return_tokens_as_token_ids": True}
