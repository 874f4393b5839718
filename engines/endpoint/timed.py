"""Timed batches: all requests sent together, streamed, and taken apart when the last has ended."""

from __future__ import annotations

import asyncio
import gc
import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from time import perf_counter_ns
from typing import Any

from engines.common.completions import completion
from engines.common.encoding import Encoded
from engines.endpoint.chunks import Streamed, read_stream, token_times
from engines.endpoint.routes.replies import ReplyError, Usage
from engines.endpoint.routes.route import Route
from engines.endpoint.server import Server
from engines.endpoint.transport.client import AttemptFailed
from engines.endpoint.transport.streaming import Raw, StartLine, Stream, connect, framed, stream
from modeltest.api import Completion, Finish
from modeltest.plain.json_text import JsonError, parse_published_json

TIMED_NEEDS = ("token_prompts", "stream", "token_times", "ignore_eos")
"""Abilities of the one route that a timed run asks."""

_TICK_S = 0.005
_NS_PER_MS = 1e6


@dataclass(slots=True)
class Lags:
    """How late the client was in timed batches; the longest of each."""

    send_ns: int = 0
    loop_ns: int = 0
    shared_chunks: int = 0
    is_timed: bool = False


def timed_route(server: Server) -> Route | None:
    """Return the route that timed runs ask; where none ignores ends, what tells the times of tokens."""
    ignores = any(
        seen["ignore_eos"].is_there is not False for seen in server.by_route.values() if "ignore_eos" in seen
    )
    found = server.route_of(*(TIMED_NEEDS if ignores else TIMED_NEEDS[:-1]))
    return found if found is not None and found.takes_ids else None  # random ids are no text


async def run_timed(server: Server, batch: Sequence[Encoded], lags: Lags) -> list[tuple[Completion, Usage]]:
    """Ask for a timed batch, once: what fails of it fails the trial.

    Connections are made, and headers sent, before the clock starts; then all bodies are written. The answers
    are read from the sockets and left alone until the last has ended; times are those of their arrival.
    """
    client, line = server.client, StartLine(len(batch))
    with suppress(AttemptFailed):  # a server that is away fails the trial below
        await client.recheck()
    await connect(client, len(batch))
    route = timed_route(server) or server.openai
    requests = [route.request(timed_wishes(server, route, encoded)) for encoded in batch]
    gc.collect()
    with _collecting_nothing():
        streams = [asyncio.ensure_future(stream(client, path, body, line)) for path, body in requests]
        watch = asyncio.ensure_future(_watch_loop(lags))
        try:
            await line.let_go(streams)
            came = await asyncio.gather(*streams)
        finally:
            for task in (watch, *streams):
                task.cancel()
    lags.is_timed = True
    asked = zip(batch, came, strict=True)
    return [_completed(one, each, route, line.begin_ns, lags) for one, each in asked]


def timed_wishes(server: Server, route: Route, encoded: Encoded) -> dict[str, Any]:
    """Return what asks for a completion of exactly the tokens asked for, which no cache serves.

    It is streamed, but where the end alone is timed: then the server has nothing to send before.
    """
    request = encoded.request
    fields = whole_fields(route) if request.only_end_timed else stream_fields(server, route)
    return server.completion(
        encoded.prompt_ids, new_tokens=request.max_new_tokens, **fields, **_fresh(server)
    )


def stream_fields(server: Server, route: Route) -> dict[str, Any]:
    """Return what asks for a stream that goes on to its limit and says all it can of its tokens."""
    usage: dict[str, Any] = {"include_usage": True}
    if "continuous_usage_stats" in route.wishes and not server.has(route, "returned_ids"):
        usage["continuous_usage_stats"] = True
    return {"stream": True, "stream_options": usage, **whole_fields(route)}


def whole_fields(route: Route) -> dict[str, Any]:
    """Return what asks for an answer that goes on to its limit, and for its ids."""
    fields: dict[str, Any] = {}
    if "return_token_ids" in route.wishes:
        fields["return_token_ids"] = True
    if "ignore_eos" in route.wishes:
        fields["ignore_eos"] = True
    return fields


def _fresh(server: Server) -> dict[str, Any]:
    return {"cache_salt": secrets.token_hex(8)} if server.takes("cache_salt") else {}


def _completed(
    encoded: Encoded, raw: Raw, route: Route, begin_ns: int, lags: Lags
) -> tuple[Completion, Usage]:
    sent_ns = raw.sent_ns or begin_ns
    lags.send_ns = max(lags.send_ns, sent_ns - begin_ns)
    if encoded.request.only_end_timed:
        return _ended(encoded, raw, route, begin_ns)
    stream = framed(raw)
    return _streamed(encoded, stream, read_stream(stream.pieces, route), begin_ns, lags)


def _ended(encoded: Encoded, raw: Raw, route: Route, begin_ns: int) -> tuple[Completion, Usage]:
    """Return an answer that came in one piece, and when its last byte had."""
    if raw.error is not None:
        return completion(encoded, error=raw.error), Usage()
    try:
        reply = route.read(parse_published_json(raw.whole))
    except (JsonError, ReplyError) as problem:
        return completion(encoded, error=str(problem)), Usage()
    limit, usage = encoded.request.max_new_tokens, reply.usage
    if usage.completion_tokens != limit:
        return completion(encoded, error=f"{usage.completion_tokens} of {limit} tokens came"), usage
    if error := wrong_count(encoded, usage):
        return completion(encoded, error=error), usage
    ids = reply.token_ids if reply.token_ids is not None and len(reply.token_ids) == limit else None
    done = completion(
        encoded,
        output_tokens=ids or (),
        output_count=None if ids else limit,
        sent_ns=(raw.sent_ns or begin_ns) - begin_ns,
        finish=Finish.LENGTH,
    )
    return replace(done, end_ns=raw.reads[-1].time_ns - begin_ns), usage


def _streamed(
    encoded: Encoded, stream: Stream, streamed: Streamed, begin_ns: int, lags: Lags
) -> tuple[Completion, Usage]:
    usage = streamed.usage
    if error := stream.error or streamed.error or wrong_count(encoded, usage):
        return completion(encoded, error=error), usage
    found = token_times(streamed)
    if isinstance(found, str):
        return completion(encoded, error=found), usage
    times, shared = found
    lags.shared_chunks += shared
    ids = _ids(streamed, len(times))
    limit = encoded.request.max_new_tokens
    if len(times) != limit:
        return completion(encoded, error=f"{len(times)} of {limit} tokens came"), usage
    return completion(
        encoded,
        output_tokens=ids or (),
        output_count=None if ids else len(times),
        token_times_ns=tuple(time_ns - begin_ns for time_ns in times),
        sent_ns=(stream.sent_ns or begin_ns) - begin_ns,
        first_byte_ns=None if streamed.first_ns is None else streamed.first_ns - begin_ns,
        finish=Finish.LENGTH,
    ), usage


def _ids(streamed: Streamed, count: int) -> tuple[int, ...] | None:
    ids = streamed.ids
    return ids if ids is not None and len(ids) == count else None


def wrong_count(encoded: Encoded, usage: Usage) -> str | None:
    """Return what a server's counts say against an answer that was to be computed whole."""
    sent, read = len(encoded.prompt_ids), usage.prompt_tokens
    if read is not None and read != sent:
        return f"{sent} prompt tokens were sent, the server read {read}"
    if usage.cached_tokens:
        return f"{usage.cached_tokens} prompt tokens came from the server's cache: nothing is timed of them"
    return None


@contextmanager
def _collecting_nothing() -> Iterator[None]:
    """Keep Python from looking for garbage between two reads."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


async def _watch_loop(lags: Lags) -> None:
    while True:
        due_ns = perf_counter_ns() + int(_TICK_S * 1e9)
        await asyncio.sleep(_TICK_S)
        lags.loop_ns = max(lags.loop_ns, perf_counter_ns() - due_ns)
