"""What servers of every dialect have in common: settings, routes, refusals, and how a stream is sent."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from made_http import Answer, Asked, Log, as_chunk
from made_model import MadeModel

CHANGED = "weights changed"
"""Stands in the log where the weights did."""


class Refused(Exception):
    """What a server will not do. Each dialect has its own body for it."""

    def __init__(self, status: int, message: str, kind: str = "BadRequestError", param: str | None = None):
        super().__init__(message)
        self.status, self.message, self.kind, self.param = status, message, kind, param


@dataclass(frozen=True, slots=True)
class Settings:
    """How one server is started."""

    model_name: str = "made"
    context: int = 4096
    tokens_per_chunk: int = 1
    first_ms: float = 0.0
    gap_ms: float = 0.0
    api_key: str | None = None
    ignored: frozenset[str] = frozenset()
    """Fields of requests that are ignored in silence."""

    most_tokens: int | None = None
    """More new tokens than these are cut in silence."""

    keep_alive: bool = False
    empty_choice: bool = False
    chat_only: bool = False
    reasoning: bool = False
    full_text: bool = False
    """MindIE's `fullTextEnabled`."""

    no_own_routes: bool = False
    """OpenAI's routes alone are there."""

    no_completions: bool = False
    """OpenAI's completions are not there."""

    own_ignored: frozenset[str] = frozenset()
    """Fields that the server's own routes ignore in silence."""

    own_drops: int = 0
    """So many tokens at the begin of a prompt are left out in silence by the server's own routes."""

    own_drops_ids: int = 0
    """The same of prompts of token ids alone."""

    own_shift: float = 0.0
    """Is added to the log-probabilities that the server's own routes tell of a prompt or of an output."""

    prefill: bool = False
    """TGI's `--enable-prefill-logprobs`."""

    incremental: bool = False
    """SGLang's `--incremental-streaming-output`."""

    weights_beside: str | None = None
    """Other weights, which answer every second request, as where a balancer has two servers."""

    weights_later: str | None = None
    """Other weights, which SIGUSR1 brings while connections stay open, as a balancer may."""

    breaks_after: int | None = None
    """Each stream ends cleanly after so many tokens: without a reason, without [DONE]."""

    tells_key: bool = False
    """A key that is refused is repeated in the refusal."""

    fails_after: int | None = None
    """Each stream tells an error after so many tokens, in the stream, whose status was 200."""


@dataclass(frozen=True, slots=True)
class Sending:
    """One event of a stream, and how many tokens are in it."""

    data: bytes
    tokens: int = 0


@dataclass(frozen=True, slots=True)
class Sent:
    """When tokens were sent, on the monotonic clock: right before the write, and when it was done."""

    before_ns: int
    after_ns: int
    tokens: int


@dataclass(slots=True)
class Exchange:
    """One request, its answer, and what the log will say of it."""

    asked: Asked
    answer: Answer
    body: dict[str, Any] = field(default_factory=dict)
    output_tokens: int = 0
    sent: list[Sent] = field(default_factory=list)


Route = Callable[[Exchange], Awaitable[None]]


class Dialect:
    """One kind of server. A subclass has `routes` and the body of its refusals."""

    own_paths: frozenset[str] = frozenset()
    """Of the server's own routes for completions."""

    invalid_status = 400
    """Of a body that lacks what is wanted."""

    def __init__(self, model: MadeModel, settings: Settings, log: Log) -> None:
        self.model, self.settings, self._log = model, settings, log
        self._beside = MadeModel(settings.weights_beside) if settings.weights_beside else None
        self._running = 0
        self.open_paths = frozenset({"/health", "/metrics"})

    def change_weights(self) -> None:
        """Answer whatever is asked from now on with the weights of later."""
        assert self.settings.weights_later is not None
        self.model = MadeModel(self.settings.weights_later)
        self._log.add(path=CHANGED, is_whole=False, body={}, sent=[])

    def routes(self) -> Mapping[tuple[str, str], Route]:
        """Return what is answered, by method and path."""
        raise NotImplementedError

    def refusal(self, problem: Refused) -> Any:
        """Return the body of a refusal."""
        raise NotImplementedError

    async def handle(self, asked: Asked, answer: Answer) -> None:
        """Answer one request and write it down, also when the client is gone."""
        exchange = Exchange(asked, answer)
        if self._beside is not None and asked.method == "POST":
            self.model, self._beside = self._beside, self.model
        self._running += 1
        most = self._running
        try:
            await self._answer(exchange)
        finally:
            self._running -= 1
            self._log.add(
                method=asked.method,
                path=asked.path,
                status=answer.status,
                is_whole=answer.is_whole,
                client_port=answer.writer.get_extra_info("peername")[1],
                has_key=bool(asked.headers.get("authorization")),
                headers={k: v for k, v in asked.headers.items() if k != "authorization"},
                body=exchange.body,
                output_tokens=exchange.output_tokens,
                running=most,
                received_ns=asked.received_ns,
                ended_ns=time.monotonic_ns(),
                sent=[[one.before_ns, one.after_ns, one.tokens] for one in exchange.sent],
            )

    async def _answer(self, exchange: Exchange) -> None:
        asked, answer = exchange.asked, exchange.answer
        gone = self.own_paths if self.settings.no_own_routes else set()
        gone |= {"/v1/completions"} if self.settings.no_completions else set()
        routes = {place: route for place, route in self.routes().items() if place[1] not in gone}
        try:
            self._check_key(asked)
            route = routes.get((asked.method, asked.path))
            if route is None:
                known = any(path == asked.path for _, path in routes)
                raise Refused(405 if known else 404, "Method Not Allowed" if known else "Not Found", "path")
            await route(exchange)
        except Refused as problem:
            await answer.send(problem.status, self.refusal(problem))
        except (KeyError, TypeError, ValueError) as problem:
            said = Refused(self.invalid_status, f"{type(problem).__name__}: {problem}")
            await answer.send(said.status, self.refusal(said))

    def _check_key(self, asked: Asked) -> None:
        key = self.settings.api_key
        is_open = key is None or asked.path in self.open_paths
        given = asked.headers.get("authorization", "")
        if not is_open and given != f"Bearer {key}":
            raise Refused(401, f"Wrong key: {given}" if self.settings.tells_key else "Unauthorized", "key")

    def read(self, exchange: Exchange) -> dict[str, Any]:
        """Return the JSON of the request without what this server ignores."""
        try:
            body = json.loads(exchange.asked.body)
        except ValueError:
            raise self.unreadable() from None
        if not isinstance(body, dict):
            raise self.unreadable()
        exchange.body = body
        return {name: value for name, value in body.items() if name not in self.settings.ignored}

    def read_own(self, exchange: Exchange, parameters: str) -> dict[str, Any]:
        """Return the JSON of a request of the server's own, and its `parameters`, without what is ignored."""
        body = self.read(exchange)
        gone = self.settings.ignored | self.settings.own_ignored
        kept = {name: value for name, value in body.items() if name not in gone}
        inner = kept.get(parameters) or {}
        return {**kept, parameters: {name: value for name, value in inner.items() if name not in gone}}

    def own_ids(self, ids: Sequence[int], *, were_text: bool) -> list[int]:
        """Return the tokens that the server's own routes read of a prompt."""
        lost = self.settings.own_drops + (0 if were_text else self.settings.own_drops_ids)
        return list(ids[lost:])

    def unreadable(self) -> Refused:
        """Return the refusal of a body that is no JSON object."""
        return Refused(400, "the body is no JSON object", "Bad Request")

    def limit(self, wanted: int, prompt: Sequence[int]) -> int:
        """Return how many new tokens there will be at most: more than there is room for are cut."""
        room = self.settings.context - len(prompt)
        if room < 1:
            raise Refused(
                400,
                f"This model's maximum context length is {self.settings.context} tokens. However, your "
                f"prompt contains {len(prompt)} input tokens. Please reduce the length of the input.",
                param="input_tokens",
            )
        return min(wanted, room, self.settings.most_tokens or wanted)

    async def pause(self, tokens: int) -> None:
        """Wait as long as a plain answer of `tokens` takes."""
        wait_ms = self.settings.first_ms + self.settings.gap_ms * max(tokens - 1, 0)
        if wait_ms:
            await asyncio.sleep(wait_ms / 1000)

    async def send_stream(self, exchange: Exchange, events: Iterable[Sending], *, done: bool = True) -> None:
        """Send `events` as a stream: at the pace of the settings, each at its own deadline."""
        settings, answer = self.settings, exchange.answer
        writer = answer.writer
        rendered = [(as_chunk(event.data), event.tokens) for event in self._disturbed(events)]
        await answer.begin_stream()
        deadline_ns = exchange.asked.received_ns + round(settings.first_ms * 1e6)
        gap_ns = round(settings.gap_ms * 1e6)
        for data, tokens in rendered:
            if tokens:
                await _wait_until(deadline_ns)
                deadline_ns += gap_ns * tokens
            if settings.breaks_after is not None and exchange.output_tokens >= settings.breaks_after:
                await answer.end_stream()
                return
            if settings.fails_after is not None and exchange.output_tokens >= settings.fails_after:
                error = b'data: {"error": {"message": "made to fail", "type": "InternalServerError"}}\n\n'
                await answer.part(error + b"data: [DONE]\n\n")
                await answer.end_stream()
                return
            before_ns = time.monotonic_ns()
            writer.write(data)
            await writer.drain()
            if tokens:
                exchange.sent.append(Sent(before_ns, time.monotonic_ns(), tokens))
                exchange.output_tokens += tokens
        if done:
            await answer.part(b"data: [DONE]\n\n")
        await answer.end_stream()

    def _disturbed(self, events: Iterable[Sending]) -> Iterable[Sending]:
        for place, event in enumerate(events):
            if self.settings.keep_alive and place < 3:
                yield Sending(b": keep-alive\n\n")
            if self.settings.empty_choice and place == 2:
                yield Sending(b'data: {"id": "made", "choices": []}\n\n')
            yield event


async def _wait_until(deadline_ns: int) -> None:
    left_ns = deadline_ns - time.monotonic_ns()
    if left_ns > 0:
        await asyncio.sleep(left_ns / 1e9)
