"""As much of HTTP/1.1 as the servers of these tests need, on asyncio: requests, answers, streamed answers."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from kernel_stamps import StampedSocket, connection_of, listener

REASONS = {
    200: "OK",
    400: "Bad Request",
    401: "Unauthorized",
    404: "Not Found",
    405: "Method Not Allowed",
    422: "Unprocessable Entity",
    424: "Failed Dependency",
    429: "Too Many Requests",
    500: "Internal Server Error",
    503: "Service Unavailable",
}


LIMIT_BYTES = 1 << 26

SETTLED = "/is-settled"
"""Answered by every server of these tests, once all that it answered before is written down."""


@dataclass(frozen=True, slots=True)
class Asked:
    """One request as it came."""

    method: str
    path: str
    headers: Mapping[str, str]
    """With names in lower case."""

    body: bytes
    received_ns: int
    """When its last byte had arrived, on the monotonic clock: not when there was time to look at it."""


class Answer:
    """What is written back on one request."""

    def __init__(self, writer: asyncio.StreamWriter) -> None:
        self.writer = writer
        self.status: int | None = None
        self.is_whole = False

    async def send(self, status: int, value: Any, headers: Mapping[str, str] | None = None) -> None:
        """Answer with JSON, or with nothing where `value` is `None`."""
        body = b"" if value is None else json.dumps(value, ensure_ascii=False).encode()
        await self.send_bytes(status, body, {"Content-Type": "application/json", **(headers or {})})

    async def send_bytes(self, status: int, body: bytes, headers: Mapping[str, str]) -> None:
        """Answer with `body`."""
        self.status = status
        self.writer.write(head(status, {**headers, "Content-Length": str(len(body))}) + body)
        await self.writer.drain()
        self.is_whole = True

    async def begin_stream(self) -> None:
        """Answer 200 with events to come."""
        self.status = 200
        self.writer.write(
            head(200, {"Content-Type": "text/event-stream; charset=utf-8", "Transfer-Encoding": "chunked"})
        )
        await self.writer.drain()

    async def part(self, data: bytes) -> None:
        """Send some bytes of the stream."""
        self.writer.write(as_chunk(data))
        await self.writer.drain()

    async def end_stream(self) -> None:
        """End the stream as it should."""
        self.writer.write(b"0\r\n\r\n")
        await self.writer.drain()
        self.is_whole = True


def head(status: int, headers: Mapping[str, str]) -> bytes:
    """Return the status line and the headers."""
    lines = [f"HTTP/1.1 {status} {REASONS.get(status, 'Unknown')}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def as_chunk(data: bytes) -> bytes:
    """Return `data` as one chunk of a body of unknown length."""
    return b"%x\r\n%s\r\n" % (len(data), data)


def as_event(value: Any) -> bytes:
    """Return one server-sent event with JSON in it."""
    return b"data: " + json.dumps(value, ensure_ascii=False).encode() + b"\n\n"


class StampedReader(asyncio.StreamReader):
    """Notes when the last bytes had arrived."""

    last_ns = 0
    _stamped: StampedSocket | None = None

    def set_transport(self, transport: asyncio.BaseTransport) -> None:
        """Begin with a connection."""
        super().set_transport(transport)
        self._stamped = connection_of(transport)

    def feed_data(self, data: bytes) -> None:
        """Take bytes from the socket."""
        self.last_ns = self._stamped.arrived_ns if self._stamped is not None else time.monotonic_ns()
        super().feed_data(data)


Handler = Callable[[Asked, Answer], Awaitable[None]]


async def serve(handler: Handler, port: int) -> asyncio.Server:
    """Listen on the loopback interface; each request goes to `handler`."""

    async def connection(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            while (asked := await read_request(reader)) is not None:
                answer = Answer(writer)
                if asked.path == SETTLED:
                    await answer.send(200, None)
                else:
                    await handler(asked, answer)
                if not answer.is_whole or asked.headers.get("connection", "").lower() == "close":
                    break
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()

    loop = asyncio.get_running_loop()

    def protocol() -> asyncio.StreamReaderProtocol:
        return asyncio.StreamReaderProtocol(StampedReader(limit=LIMIT_BYTES), connection)

    return await loop.create_server(protocol, sock=listener(port))


async def read_request(reader: asyncio.StreamReader) -> Asked | None:
    """Return the next request of a connection, `None` at its end."""
    try:
        first = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return None
    line, headers = parsed_head(first)
    method, path, _ = line.split(" ", 2)
    if headers.get("transfer-encoding", "").lower() == "chunked":
        body = await _chunked_body(reader)
    else:
        body = await reader.readexactly(int(headers.get("content-length", "0")))
    received_ns = reader.last_ns if isinstance(reader, StampedReader) else time.monotonic_ns()
    return Asked(method, path, headers, body, received_ns)


def parsed_head(data: bytes) -> tuple[str, dict[str, str]]:
    """Return the first line and the headers, with names in lower case."""
    line, *rest = data.decode("latin-1").rstrip("\r\n").split("\r\n")
    pairs = (each.split(":", 1) for each in rest)
    return line, {name.strip().lower(): value.strip() for name, value in pairs}


async def _chunked_body(reader: asyncio.StreamReader) -> bytes:
    parts = []
    while size := int((await reader.readuntil(b"\r\n")).split(b";")[0], 16):
        parts.append(await reader.readexactly(size))
        await reader.readexactly(2)
    await reader.readuntil(b"\r\n")
    return b"".join(parts)


class Log:
    """One JSON line for each request, once it was answered or broken off; keys are never in it."""

    def __init__(self, path: str | None) -> None:
        self._file = open(path, "a", encoding="utf-8") if path else None  # noqa: SIM115, PTH123

    def add(self, **fields: Any) -> None:
        """Write one line."""
        if self._file is not None:
            print(json.dumps(fields, ensure_ascii=False), file=self._file, flush=True)
