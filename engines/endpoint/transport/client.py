"""HTTP to one endpoint: connections that are used again, attempts, and nothing secret in what went wrong."""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

import aiohttp

from engines.endpoint.transport.address import Address
from engines.endpoint.transport.error_texts import is_error, message_of, said_in
from engines.endpoint.transport.options import EndpointOptions
from engines.endpoint.transport.retries import Patience, Trouble, read_retry_after, trouble_of
from engines.endpoint.transport.secrets import Secrets
from engines.endpoint.transport.sessions import open_session
from modeltest.api import EngineError, PrerequisiteError
from modeltest.plain.json_text import JsonError, parse_published_json

JSON_HEADERS = {"Content-Type": "application/json"}
PROBE_PATIENCE_S = 30.0
_REFUSED_KEY = (401, 403)


class Unanswered(Exception):
    """A request got no answer that counts; the text says why, and holds nothing secret."""


class ServerGone(EngineError):
    """The server cannot be reached any more; `said` is what the last attempt met."""

    def __init__(self, base: str, said: str, attempts: int) -> None:
        super().__init__(f"{base}: {said} (after {attempts} attempts)")
        self.said = said


@dataclass(frozen=True, slots=True)
class Reply:
    """What a server answered: its status and its JSON (`None`: none), of a failure what it says."""

    status: int
    value: Any
    text: str = ""
    retry_after: str | None = None


class AttemptFailed(Exception):
    """An attempt is over without an answer, and another may be made."""

    def __init__(self, text: str, trouble: Trouble, asked_s: float | None = None) -> None:
        super().__init__(text)
        self.trouble = trouble
        self.asked_s = asked_s


class Client:
    """Asks one endpoint. Made, used and closed within one event loop."""

    def __init__(self, address: Address, secrets: Secrets, options: EndpointOptions) -> None:
        self.address = address
        self.options = options
        self.hide = secrets.hide
        self._secrets = secrets
        self._session: aiohttp.ClientSession | None = None
        self._random = random.Random()
        self._is_checking = asyncio.Lock()
        self._was_away = False
        self._starts: set[str] = set()
        """Starts of the server whose model was looked at; several, where several servers share an address."""

        self.on_return: Callable[[], Awaitable[None]] | None = None
        """Asked before the next request after a connection broke: the server may be another one by now."""

        self.has_changed = False
        """Whether a connection broke or another start answered since the server was looked at."""

        self.requests = self.retries = 0

    @property
    def session(self) -> aiohttp.ClientSession:
        """The connections."""
        assert self._session is not None
        return self._session

    def open(self) -> None:
        """Get ready; nothing is sent yet.

        Raises: PrerequisiteError when the certificates cannot be read.
        """
        self._session = open_session(self.options, self._secrets)

    async def close(self) -> None:
        """Close all connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def post(self, path: str, body: Mapping[str, Any]) -> Any:
        """Return the JSON that answers `body`; a request is sent again while that may help.

        It is sent again only when the attempt before is over: answered with a failure, broken off, or never
        begun. So no request has two answers.

        Raises: Unanswered; ServerGone; PrerequisiteError for a key that is refused.
        """

        async def answer() -> Any:
            await self.recheck()
            reply = await self._attempt("POST", path, body)
            if reply.status == 200 and not is_error(reply.value):
                await self._check_start(reply.value)
                return reply.value
            said = f"status {reply.status}: {reply.text or message_of(reply.value)}"
            if (trouble := trouble_of(reply.status)) is not None:
                raise AttemptFailed(said, trouble, read_retry_after(reply.retry_after))
            raise Unanswered(said)

        return await self._patiently(answer, self.options.retry_s)

    async def probe(self, path: str, body: Mapping[str, Any] | None = None) -> Reply:
        """Return whatever the server answers, POST with a `body` and GET without, unless it is busy or away.

        Raises: Unanswered; ServerGone; PrerequisiteError for a key that is refused.
        """

        async def answer() -> Reply:
            reply = await self._attempt("GET" if body is None else "POST", path, body)
            if trouble_of(reply.status) is Trouble.BUSY:
                asked_s = read_retry_after(reply.retry_after)
                raise AttemptFailed(f"status {reply.status}: {reply.text}", Trouble.BUSY, asked_s)
            if (start := _start_of(reply.value)) is not None:
                if self.on_return is None:
                    self._starts.add(start)
                self.has_changed |= start not in self._starts
            return reply

        reply: Reply = await self._patiently(answer, min(PROBE_PATIENCE_S, self.options.retry_s))
        return reply

    def url(self, path: str) -> str:
        """Return the URL of `path`: behind the base, or with two slashes at its begin behind the server."""
        return self.address.root + path[1:] if path.startswith("//") else self.address.base + path

    def said(self, problem: BaseException) -> str:
        """Return what went wrong with a request as a text without anything secret."""
        text = " ".join(str(problem).split())
        if not text and isinstance(problem, (asyncio.TimeoutError, TimeoutError)):
            text = "no answer within the deadline"
        return self.hide(text or type(problem).__name__)

    async def _patiently(self, answer: Callable[[], Awaitable[Any]], limit_s: float) -> Any:
        patience = Patience(limit_s, time.monotonic())
        while True:
            try:
                return await answer()
            except AttemptFailed as problem:
                trouble, said, asked_s = problem.trouble, str(problem), problem.asked_s
            wait_s = patience.wait_s(
                trouble, now_s=time.monotonic(), draw=self._random.random(), asked_s=asked_s
            )
            if wait_s is None:
                if trouble is Trouble.AWAY:
                    raise ServerGone(self.address.base, said, patience.attempts)
                raise Unanswered(f"{said} (after {patience.attempts} attempts)")
            self.retries += 1
            await asyncio.sleep(wait_s)

    def note_broken(self) -> None:
        """Note that a connection broke: the server may be another one when it is asked next."""
        self._was_away = self.has_changed = True

    async def recheck(self) -> None:
        """Look at a server that was away before it is asked again; whoever comes meanwhile waits.

        Raises: AttemptFailed while it is away; what `on_return` raises when it is another one.
        """
        async with self._is_checking:
            if not self._was_away or self.on_return is None:
                return
            self._was_away = False
            try:
                await self.on_return()
            except BaseException as problem:
                self._was_away = True  # whoever waits here looks for itself
                if not isinstance(problem, (ServerGone, Unanswered)):
                    raise
                said = problem.said if isinstance(problem, ServerGone) else str(problem)
                raise AttemptFailed(said, Trouble.AWAY) from None

    async def look_again(self) -> None:
        """Look at the server as after a connection broke, as long as a request would be tried.

        Raises: ServerGone; what `on_return` raises when it is another one.
        """
        self._was_away = True
        await self._patiently(self.recheck, self.options.retry_s)

    async def _check_start(self, value: Any) -> None:
        """Look at the model again before an answer counts that another start of the server gave.

        A server that was restarted while nothing was asked of it shows nothing else: vLLM names each of its
        starts in `system_fingerprint`.
        """
        start = _start_of(value)
        if start is None or start in self._starts:
            return
        if self._starts:
            self._was_away = self.has_changed = True
            await self.recheck()
        self._starts.add(start)

    async def _attempt(self, method: str, path: str, body: Mapping[str, Any] | None) -> Reply:
        self.requests += 1
        data = None if body is None else json.dumps(body).encode()
        try:
            async with self.session.request(
                method, self.url(path), data=data, headers=JSON_HEADERS, allow_redirects=False
            ) as response:
                reply = self._reply(response, await response.read())
        except (aiohttp.ClientError, OSError, asyncio.TimeoutError) as problem:
            raise self._broken(problem) from None
        if reply.status in _REFUSED_KEY:
            raise PrerequisiteError(
                f"{self.address.base} refuses the request (status {reply.status}: {reply.text}); give its "
                "key in the variable MODELTEST_API_KEY"
            )
        return reply

    def _broken(self, problem: BaseException) -> Exception:
        said = self.said(problem)
        if isinstance(problem, aiohttp.ClientConnectorCertificateError):
            return PrerequisiteError(
                f"the certificate of {self.address.root} is not trusted ({said}); give the file that vouches "
                "for it: --ca-bundle FILE"
            )
        if isinstance(problem, (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError)):
            self.note_broken()
            return AttemptFailed(f"no connection: {said}", Trouble.AWAY)
        if isinstance(problem, (asyncio.TimeoutError, TimeoutError)):
            return Unanswered(f"the answer did not come in time: {said}")
        self.note_broken()
        return AttemptFailed(f"the connection broke off: {said}", Trouble.BROKEN)

    def _reply(self, response: aiohttp.ClientResponse, data: bytes) -> Reply:
        if response.status == 200:
            try:
                return Reply(200, parse_published_json(data))
            except JsonError:
                return Reply(200, None, self.hide(said_in(data)))
        is_elsewhere = 300 <= response.status < 400
        text = "it sends elsewhere, which is not followed" if is_elsewhere else self.hide(said_in(data))
        return Reply(response.status, None, text, response.headers.get("Retry-After"))


def _start_of(value: Any) -> str | None:
    start = value.get("system_fingerprint") if isinstance(value, dict) else None
    return start if isinstance(start, str) and start else None
