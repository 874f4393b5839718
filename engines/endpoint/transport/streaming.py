"""One streamed answer as it came: when it was sent, and each piece with its time."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from time import perf_counter_ns
from typing import Any

import aiohttp

from engines.endpoint.transport.client import JSON_HEADERS, Client
from engines.endpoint.transport.error_texts import said_in
from engines.endpoint.transport.events import Piece
from engines.endpoint.transport.http_body import FrameError, body_pieces
from engines.endpoint.transport.sessions import Sent
from engines.endpoint.transport.stamped import Recorder, recording
from modeltest.api import EngineError

_UNBOUNDED = 1 << 30
"""Bytes that aiohttp may hold: with less it would stop reading until somebody takes them."""

_WATCH_S = 0.25


@dataclass(frozen=True, slots=True)
class Raw:
    """What came on the connection of one streamed answer, untouched, beside what aiohttp made of it."""

    sent_ns: int | None
    reads: tuple[Piece, ...]
    whole: bytes
    end_ns: int
    error: str | None = None
    has_arrivals: bool = False
    """Whether the times of `reads` are those of arrival in the kernel; else they are of the reads."""


@dataclass(frozen=True, slots=True)
class Stream:
    """A streamed answer, with times of `time.perf_counter_ns`; `error` says why it came to no end."""

    sent_ns: int | None
    pieces: tuple[Piece, ...]
    end_ns: int
    error: str | None = None


class StartLine:
    """Where requests wait, their connections and headers ready, until all may be written at once."""

    def __init__(self, count: int) -> None:
        self._missing = count
        self._all_there = asyncio.Event()
        self._start = asyncio.Event()
        self.begin_ns = 0
        """When they were let go, by `time.perf_counter_ns`."""

    async def let_go(self, streams: Collection[asyncio.Future[Raw]]) -> None:
        """Wait for all requests, or for one of `streams` that is over before it could start."""
        there = asyncio.ensure_future(self._all_there.wait())
        waiting: list[asyncio.Future[Any]] = [there, *streams]
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        there.cancel()
        self.begin_ns = perf_counter_ns()
        self._start.set()

    async def body(self, data: bytes) -> AsyncIterator[bytes]:
        """Yield `data` when it may be written."""
        self._missing -= 1
        if self._missing <= 0:
            self._all_there.set()
        await self._start.wait()
        yield data


async def stream(client: Client, path: str, body: Mapping[str, Any], line: StartLine | None = None) -> Raw:
    """Return what came as the answer to `body`, written with those of its `line`; it is asked for once.

    Nothing is taken from the connection before the end, and nothing taken apart then: others may still read
    their last tokens, and the loop shall have nothing to do but to note reads. `framed` is for afterwards.

    Raises: EngineError when this aiohttp cannot be timed.
    """
    recorder, sent = Recorder(), Sent()
    client.requests += 1
    error: str | None = None
    whole = b""
    watch: asyncio.Task[str] | None = None
    try:
        with recording(recorder):
            asking = asyncio.ensure_future(_whole(client, path, json.dumps(body).encode(), sent, line))
        watch = asyncio.ensure_future(_watch(client, recorder, is_streamed=bool(body.get("stream"))))
        await asyncio.wait({asking, watch}, return_when=asyncio.FIRST_COMPLETED)
        if asking.done():
            status, whole = asking.result()
            error = None if status == 200 else f"status {status}: {client.hide(said_in(whole))}"
        else:
            error = watch.result()
    except (aiohttp.ClientError, OSError, asyncio.TimeoutError) as problem:
        error = client.said(problem)
        client.note_broken()
    finally:
        for task in (asking, watch):
            if task is not None:
                task.cancel()
    end_ns = perf_counter_ns()
    if sent.time_ns is not None and not recorder.is_used:
        raise EngineError(
            f"aiohttp {aiohttp.__version__} has no place for the clock of the engine openai; install the "
            "version in constraints.txt"
        )
    return Raw(sent.time_ns, tuple(recorder.reads), whole, end_ns, error, recorder.has_arrivals)


async def connect(client: Client, count: int) -> None:
    """Have `count` connections that were just used, so that no request of a trial has to make one."""
    async with AsyncExitStack() as stack:
        asked = (
            stack.enter_async_context(client.session.get(client.url("/models"), allow_redirects=False))
            for _ in range(count)
        )
        for each in await asyncio.gather(*asked, return_exceptions=True):
            if isinstance(each, aiohttp.ClientResponse):
                await each.read()


async def _whole(
    client: Client, path: str, body: bytes, sent: Sent, line: StartLine | None
) -> tuple[int, bytes]:
    timeout = aiohttp.ClientTimeout(total=client.options.whole_s, sock_connect=client.options.connect_s)
    async with client.session.post(
        client.url(path),
        data=body if line is None else line.body(body),
        headers={**JSON_HEADERS, "Content-Length": str(len(body))},
        trace_request_ctx=sent,
        allow_redirects=False,
        read_bufsize=_UNBOUNDED,
        timeout=timeout,
    ) as response:
        await response.content.wait_eof()
        return response.status, await response.read()


async def _watch(client: Client, recorder: Recorder, *, is_streamed: bool) -> str:
    """Return once a piece is overdue, what is; nothing of an answer that is not streamed comes early."""
    first_s = client.options.first_byte_s if is_streamed else client.options.whole_s
    begin_ns = perf_counter_ns()
    while True:
        await asyncio.sleep(_WATCH_S)
        reads = recorder.reads
        limit_s = client.options.idle_s if reads else first_s
        since_ns = reads[-1].time_ns if reads else begin_ns
        if perf_counter_ns() - since_ns > limit_s * 1e9:
            what = "next piece of the stream" if reads else "first byte"
            return f"the {what} did not come within {limit_s:g} s"


def framed(raw: Raw) -> Stream:
    """Return the stream with its pieces; of one that came to its end they are what aiohttp read, too."""
    error = raw.error
    try:
        pieces = tuple(body_pieces(raw.reads))
    except FrameError as problem:
        return Stream(raw.sent_ns, (), raw.end_ns, error or str(problem))
    if error is None and b"".join(piece.data for piece in pieces) != raw.whole:
        error = "the stream is not framed as HTTP/1.1 says"
    return Stream(raw.sent_ns, pieces, raw.end_ns, error)
