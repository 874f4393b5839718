"""A proxy between a client and a server that does harm, as a script says.

python faulty_proxy.py TARGET_PORT [--script FILE] [--counts-from BYTES] [--port 0] [--log FILE]

The script is a JSON list of `{"fault": NAME, "at": [1, 5]}` or `{"fault": NAME, "every": 7}`, read anew when
it changes. Requests are numbered from 1, those alone that generate and whose body has at least BYTES; numbers
begin anew with a new script. Each request is a line of JSON in the log: number, fault, whether it reached the
server, the status that the client was told.

    refuse         closes the port and all connections for `seconds`
    reset_before   resets the connection; the server never hears of the request
    lose_answer    the server answers, and the connection is reset before the first byte of it
    reset_after    resets the connection behind the first event, or in the middle of a plain answer
    429, 500, 503  answers with that status; with `retry_after` seconds if given
    wrong_model    answers 404, as a server does that does not know the model
    html           answers 200 with a page instead of JSON, as a gateway may
    error_200      answers 200 with an error in the body
    redirect       answers 307: ask the server itself instead
    closes         closes the connection behind a whole answer, without having said so
    crlf           ends the lines of events as HTTP does
    cut            ends a stream behind `events` events as if it were whole; breaks a plain answer off
    split_utf8     sends the answer in two pieces wherever a character has several bytes
    merge          makes one event of each two that carry tokens
    coalesce       sends two events in one write
    empty_choice   adds an event without choices, and one whose choice says nothing
    delay          waits `seconds` before it asks the server
"""

from __future__ import annotations

import argparse
import asyncio
import json
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from made_http import SETTLED, Answer, Asked, Log, as_chunk, head, parsed_head, read_request

GENERATING = ("/completions", "/generate", "/generate_stream", "/infer", "/infer_token", "/completion")
STATUSES = {"429": 429, "500": 500, "503": 503, "wrong_model": 404, "error_200": 200}
NOT_REACHING = frozenset({*STATUSES, "html", "redirect", "reset_before", "refuse"})
_HOP = frozenset({"connection", "keep-alive", "host", "content-length", "transfer-encoding"})


class Reset(Exception):
    """The connection to the client is to be reset."""


class BrokenOff(Exception):
    """The connection to the client is to be closed as it is."""


class Script:
    """Which request is done harm, and how often each was."""

    def __init__(self, path: str | None, counts_from: int) -> None:
        self._path = Path(path) if path else None
        self._counts_from = counts_from
        self._text = ""
        self._rules: list[dict[str, Any]] = []
        self.number = 0

    def next(self, asked: Asked) -> dict[str, Any]:
        """Count `asked` and return the rule for it, an empty one if it goes through."""
        text = self._path.read_text() if self._path and self._path.exists() else ""
        if text != self._text:
            self._text, self._rules, self.number = text, json.loads(text or "[]"), 0
        is_counted = asked.path.endswith(GENERATING) and len(asked.body) >= self._counts_from
        if not is_counted:
            return {}
        self.number += 1
        return next((rule for rule in self._rules if self._is_for(rule)), {})

    def _is_for(self, rule: dict[str, Any]) -> bool:
        return self.number in rule.get("at", ()) or ("every" in rule and self.number % rule["every"] == 0)


class Proxy:
    """One port in front of another."""

    def __init__(self, target: int, script: Script, log: Log) -> None:
        self._target, self._script, self._log = target, script, log
        self._open: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._busy = 0
        self.port = 0

    async def listen(self, port: int) -> None:
        """Open the port."""
        self._server = await asyncio.start_server(self._connection, "127.0.0.1", port, limit=1 << 26)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open.add(writer)
        try:
            while (asked := await read_request(reader)) is not None:
                answer = Answer(writer)
                if asked.path == SETTLED:
                    await self._settled()
                    await answer.send(200, None)
                else:
                    await self._one(asked, answer)
            writer.close()
        except Reset:
            _reset(writer)
        except (BrokenOff, ConnectionError, asyncio.IncompleteReadError):
            writer.close()
        finally:
            self._open.discard(writer)

    async def _settled(self) -> None:
        while self._busy:
            await asyncio.sleep(0.001)

    async def _one(self, asked: Asked, answer: Answer) -> None:
        rule = self._script.next(asked)
        line = {"number": self._script.number, "path": asked.path, "fault": rule.get("fault")}
        line["received_ns"] = asked.received_ns
        line["reached"] = rule.get("fault") not in NOT_REACHING
        self._busy += 1
        try:
            await self._answered(asked, answer, rule)
        finally:
            self._busy -= 1
            self._log.add(**line, status=answer.status, is_whole=answer.is_whole)

    async def _answered(self, asked: Asked, answer: Answer, rule: dict[str, Any]) -> None:
        fault = rule.get("fault")
        if fault == "refuse":
            task = asyncio.create_task(self._refuse(rule.get("seconds", 0.5)))
            self._tasks.add(task)
            raise Reset
        if fault == "reset_before":
            raise Reset
        if fault in STATUSES:
            await self._refused(answer, rule)
            return
        if fault == "html":
            await answer.send_bytes(200, b"<html>Please log in</html>", {"Content-Type": "text/html"})
            return
        if fault == "redirect":
            location = f"http://127.0.0.1:{self._target}{asked.path}"
            await answer.send_bytes(307, b"", {"Location": location})
            return
        if fault == "delay":
            await asyncio.sleep(rule.get("seconds", 0.5))
        await self._forwarded(asked, answer, rule)
        if fault == "closes":
            raise BrokenOff

    async def _refuse(self, seconds: float) -> None:
        assert self._server is not None
        self._server.close()
        for writer in list(self._open):
            _reset(writer)
        await asyncio.sleep(seconds)
        await self.listen(self.port)

    async def _refused(self, answer: Answer, rule: dict[str, Any]) -> None:
        status = STATUSES[rule["fault"]]
        kind = "NotFoundError" if status == 404 else "InternalServerError"
        message = "The model `made` does not exist." if status == 404 else "made to fail"
        headers = {"Retry-After": str(rule["retry_after"])} if "retry_after" in rule else {}
        error = {"message": message, "type": kind, "param": None, "code": status}
        await answer.send(status, {"error": error}, headers)

    async def _forwarded(self, asked: Asked, answer: Answer, rule: dict[str, Any]) -> None:
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", self._target, limit=1 << 26)
        except OSError:
            raise Reset from None
        try:
            headers = {name: value for name, value in asked.headers.items() if name not in _HOP}
            headers |= {"Host": "127.0.0.1", "Connection": "close", "Content-Length": str(len(asked.body))}
            first = f"{asked.method} {asked.path} HTTP/1.1\r\n" + "".join(
                f"{name}: {value}\r\n" for name, value in headers.items()
            )
            writer.write(first.encode() + b"\r\n" + asked.body)
            await writer.drain()
            await self._relay(reader, answer, rule)
        except (ConnectionError, asyncio.IncompleteReadError):
            raise Reset from None
        finally:
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()

    async def _relay(self, reader: asyncio.StreamReader, answer: Answer, rule: dict[str, Any]) -> None:
        line, headers = parsed_head(await reader.readuntil(b"\r\n\r\n"))
        status = int(line.split(" ")[1])
        is_stream = headers.get("transfer-encoding") == "chunked"
        kept = {name: value for name, value in headers.items() if name not in _HOP}
        if not is_stream:
            body = await reader.readexactly(int(headers["content-length"]))
            await _plain(answer, status, kept, body, rule.get("fault"))
            return
        if rule.get("fault") == "lose_answer":
            async for _ in _chunks(reader):
                pass
            raise Reset
        answer.status = status
        answer.writer.write(head(status, {**kept, "Transfer-Encoding": "chunked"}))
        await answer.writer.drain()
        async for data in _harmed(_events(reader), rule):
            for piece in _pieces(data) if rule.get("fault") == "split_utf8" else [data]:
                await _send(answer, as_chunk(piece))
        await answer.end_stream()


async def _plain(
    answer: Answer, status: int, headers: dict[str, str], body: bytes, fault: str | None
) -> None:
    if fault == "lose_answer":
        raise Reset
    answer.status = status
    answer.writer.write(head(status, {**headers, "Content-Length": str(len(body))}))
    if fault in ("reset_after", "cut"):
        await _send(answer, body[: len(body) // 2])
        if fault == "reset_after":
            raise Reset
        raise BrokenOff
    for piece in _pieces(body) if fault == "split_utf8" else [body]:
        await _send(answer, piece)
    answer.is_whole = True


async def _send(answer: Answer, data: bytes) -> None:
    """Send one piece and let it go before the next is written."""
    answer.writer.write(data)
    await answer.writer.drain()
    await asyncio.sleep(0.001)


async def _chunks(reader: asyncio.StreamReader) -> AsyncIterator[bytes]:
    while size := int(await reader.readuntil(b"\r\n"), 16):
        yield await reader.readexactly(size)
        await reader.readexactly(2)
    await reader.readexactly(2)


async def _events(reader: asyncio.StreamReader) -> AsyncIterator[bytes]:
    left = b""
    async for data in _chunks(reader):
        *whole, left = (left + data).split(b"\n\n")
        for one in whole:
            yield one + b"\n\n"


async def _harmed(events: AsyncIterator[bytes], rule: dict[str, Any]) -> AsyncIterator[bytes]:
    """Yield what is sent in one write each."""
    fault, place, held = rule.get("fault"), 0, b""
    async for event in events:
        place += 1
        if fault == "crlf":
            yield event.replace(b"\n", b"\r\n")
            continue
        if fault == "cut" and place > rule.get("events", 2):
            return
        if fault in ("merge", "coalesce"):
            if held:
                yield _merged(held, event) if fault == "merge" else held + event
                held = b""
            elif place == 1 or not _has_token(event):
                yield event
            else:
                held = event
            continue
        yield event
        if fault == "reset_after":
            raise Reset
        if fault == "empty_choice" and place == 1:
            yield b'data: {"id": "made", "choices": []}\n\n'
            nothing = {"index": 0, "text": "", "delta": {"content": ""}, "finish_reason": None}
            yield b"data: " + json.dumps({"id": "made", "choices": [nothing]}).encode() + b"\n\n"
    if held:
        yield held


def _has_token(event: bytes) -> bool:
    return event.startswith(b"data: {") and bool(json.loads(event[6:]).get("choices"))


def _merged(one: bytes, other: bytes) -> bytes:
    """Return one event that says what two said; two events as they are where the second has no token."""
    if not _has_token(other):
        return one + other
    first, second = json.loads(one[6:]), json.loads(other[6:])
    said, more = first["choices"][0], second["choices"][0]
    if "text" in said:
        said["text"] += more["text"]
    for name, value in more.get("delta", {}).items():
        said["delta"][name] = (said["delta"].get(name) or "") + value if name != "role" else value
    if "token_ids" in said:
        said["token_ids"] += more["token_ids"]
    for name, value in (more.get("logprobs") or {}).items():
        said["logprobs"][name] += value
    said["finish_reason"] = more["finish_reason"]
    if "usage" in second:
        first["usage"] = second["usage"]
    return b"data: " + json.dumps(first, ensure_ascii=False).encode() + b"\n\n"


def _pieces(data: bytes) -> list[bytes]:
    """Return `data` cut before each byte within a character."""
    cuts = [place for place in range(1, len(data)) if 0x80 <= data[place] < 0xC0]
    return [data[a:b] for a, b in zip([0, *cuts], [*cuts, len(data)], strict=True)]


def _reset(writer: asyncio.StreamWriter) -> None:
    """Close a connection with a reset instead of an end."""
    raw = writer.get_extra_info("socket")
    if raw is not None and raw.fileno() >= 0:
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


async def run(words: argparse.Namespace) -> None:
    """Stand between until the process is ended."""
    proxy = Proxy(words.target, Script(words.script, words.counts_from), Log(words.log))
    await proxy.listen(words.port)
    print(f"listening on {proxy.port}", flush=True)  # noqa: T201
    await asyncio.Event().wait()


def main() -> None:
    """Start the proxy."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("target", type=int)
    parser.add_argument("--script")
    parser.add_argument("--counts-from", type=int, default=0)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--log")
    with suppress(KeyboardInterrupt):
        asyncio.run(run(parser.parse_args()))


if __name__ == "__main__":
    main()
