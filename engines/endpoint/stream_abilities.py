"""What a server's streams say of their tokens, found out by asking for one."""

from __future__ import annotations

from engines.endpoint.abilities import FEW, Texts
from engines.endpoint.chunks import Streamed, is_cumulative, read_stream, token_times
from engines.endpoint.server import Server
from engines.endpoint.timed import stream_fields
from engines.endpoint.transport.streaming import framed, stream
from modeltest.api import Ability

_TOKENS = 2 * FEW


async def find_out_streams(server: Server, texts: Texts) -> None:
    """Ask each route for a stream and note what it showed."""
    for route in (server.openai, *server.natives):
        prompt = texts.whole_ids or texts.ids if server.has(route, "token_prompts") else "The sea is salt."
        wishes = server.completion(prompt, new_tokens=_TOKENS, **stream_fields(server, route))
        raw = await stream(server.client, *route.request(wishes))
        server.has_arrivals = raw.has_arrivals
        came = framed(raw)
        streamed = read_stream(came.pieces, route)
        server.note(route, _seen(streamed, came.error or streamed.error))


def _seen(streamed: Streamed, error: str | None) -> list[Ability]:
    if error is not None:
        return [Ability("stream", False, error)]
    chunks, ids, count = streamed.chunks, streamed.ids, streamed.usage.completion_tokens
    found = token_times(streamed)
    whole = f"{len(chunks)} chunks, then a reason for the end"
    is_repeating = is_cumulative(chunk.text for chunk in chunks)
    times = found if isinstance(found, str) else _sizes(found[0], found[1], len(chunks))
    return [
        Ability("stream", True, whole + (", each with the whole text so far" if is_repeating else "")),
        Ability("stream_usage", count is not None, f"{count} tokens counted"),
        Ability("stream_ids", ids is not None, f"{len(ids or ())} ids in {len(chunks)} chunks"),
        Ability("token_times", not isinstance(found, str), times),
    ]


def _sizes(times: tuple[int, ...], shared: int, chunks: int) -> str:
    if not shared:
        return f"{len(times)} tokens in as many chunks"
    return f"{len(times)} tokens in {chunks} chunks, {shared} of them with several"
