"""What a server's own routes can, and whether they say what OpenAI's says: one that does not is left alone.

A route that has no field for a wish leaves it out, and the ability is not looked for. One that ignores a
field in silence is found out as on OpenAI's route: by the effect that does not come.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import replace

from engines.endpoint.abilities import FEW, NEAR, NotSeenError, Probes, Texts, look
from engines.endpoint.routes.replies import Reply, ReplyError, echoed_logprobs
from engines.endpoint.routes.route import Route
from engines.endpoint.server import Server, echo_fields
from modeltest.api import Ability

_HALF_CHARACTER = "\ufffd"


async def find_out_natives(server: Server, texts: Texts, routes: Mapping[str, Route]) -> None:
    """Try each own route of the server, of `routes` by name, and note what it can.

    Raises: ServerGone; PrerequisiteError for a key that is refused.
    """
    told = []
    for route in (routes[name] for name in server.seen.dialect.natives):
        trouble = await _tried(server, route, texts)
        if trouble is None:
            server.natives = (*server.natives, route)
        told.append(f"{route.name} {'answers alike' if trouble is None else f'is not used: {trouble}'}")
    if told:
        server.abilities["own_routes"] = Ability("own_routes", bool(server.natives), "; ".join(told))


async def _tried(server: Server, route: Route, texts: Texts) -> str | None:
    """Look for all abilities of a route; return why it is not to be used."""
    if not server.is_alone:
        return "several models are served, and it names none"
    probes = _NativeProbes(server, route, texts)
    first = await look("completions", probes.completions)
    if first.is_there is not True:
        return first.seen
    server.note(route, [first])
    for name, probe in probes.others().items():
        server.note(route, [await look(name, probe)])
    return None


class _NativeProbes(Probes):
    """The probes of a route beside OpenAI's, held against it."""

    def __init__(self, server: Server, route: Route, texts: Texts) -> None:
        own = texts if texts.whole_ids is None else replace(texts, ids=texts.whole_ids)
        super().__init__(server, route, own)
        known = server.route_of("completions")
        self._other = None if known is None else Probes(server, known, own)
        self.called = "it"

    def others(self) -> Mapping[str, Callable[[], Awaitable[str | None]]]:
        """Return the probes behind the first."""
        found = {name: probe for name, probe in self.all().items() if name not in _OPENAIS_OWN}
        has_suffixes = "prompt_logprobs_from" in self.route.wishes
        return found | ({"suffix_logprobs": self.suffix_logprobs} if has_suffixes else {})

    async def completions(self) -> str:
        """A text goes on as it does on the route that is known: OpenAI's, or another of the server's own."""
        seen = await super().completions()
        if self._other is not None:
            await self._other.completions()
            _same(self.greedy, self._other.greedy, self._other.route.name)
        return seen

    async def token_prompts(self) -> str:
        """As many tokens are read as were sent, or, where none are counted, they are answered the same."""
        ids = self._texts.ids
        reply = await self.ask(ids, new_tokens=FEW)
        if reply.usage.prompt_tokens is not None:
            return await super().token_prompts()
        if not self.route.takes_ids:
            raise NotSeenError("it takes texts alone, and does not say which tokens it read")
        if self._other is not None and self._server.has(self._other.route, "token_prompts"):
            _same(reply, await self._other.ask(ids, new_tokens=FEW), self._other.route.name)
        elif self._texts.whole_ids is not None:
            _same(reply, self.greedy, "to the text it")
        else:
            raise NotSeenError("it counts no tokens, and nothing says what they are: give --tokenizer DIR")
        return f"{len(ids)} tokens are answered as they are there"

    async def stop(self) -> str:
        """An answer ends at a text that it would have said."""
        self._need("stop")
        return await super().stop()

    async def prompt_logprobs(self) -> str:
        """The tokens of a prompt have the log-probabilities that OpenAI's route and an answer say."""
        seen = await super().prompt_logprobs()
        ids = self._texts.ids
        told = await self._prompt_values(ids)
        if self._server.can("echo"):
            openai = self._server.openai
            request = openai.request(self._server.completion(ids, **echo_fields(self._server)))
            places = echoed_logprobs(await self._value(*request), ids)
            _near(told, [place.logprob for place in places if place is not None], "the echo says")
        reply = await self.ask(ids, new_tokens=1, logprobs=1)
        if reply.top and reply.sampled and reply.sampled[0] in reply.top[0]:
            likeliest = reply.sampled[0]
            with suppress(ReplyError):  # a route of texts may have none for these tokens
                longer = await self._prompt_values((*ids, likeliest))
                _near(longer[-1:], [reply.top[0][likeliest]], "the answer says")
        return seen

    async def suffix_logprobs(self) -> str:
        """The end of a prompt alone has its log-probabilities, the same as with all before it."""
        ids = self._texts.ids
        begin = len(ids) // 2
        told = await self._prompt_values(ids, begin)
        _near(told, (await self._prompt_values(ids))[begin:], "the whole prompt's say")
        return f"of the last {len(told)} of {len(ids)} tokens"


_OPENAIS_OWN = ("completions", "chat", "echo")


def _same(reply: Reply, other: Reply, who: str) -> None:
    own, others = (each.text.rstrip(_HALF_CHARACTER) for each in (reply, other))
    if own != others:
        raise NotSeenError(f"it answers {own!r:.60}, where {who} answers {others!r:.60}")


def _near(told: list[float], others: list[float], who: str) -> None:
    if len(told) != len(others):
        raise NotSeenError(f"{len(told)} log-probabilities came, where {who} {len(others)}")
    for value, other in zip(told, others, strict=True):
        if abs(value - other) > NEAR:
            raise NotSeenError(f"{value:.3f}, where {who} {other:.3f}")
