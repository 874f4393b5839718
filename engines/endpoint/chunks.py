"""A streamed answer taken apart after it came: which tokens came when, and whether it is whole. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise

from engines.endpoint.routes.completions import Completions
from engines.endpoint.routes.replies import Reply, ReplyError, Usage
from engines.endpoint.routes.route import ReadChunk, Route
from engines.endpoint.transport.error_texts import is_error, message_of
from engines.endpoint.transport.events import DONE, Piece, first_data_ns, read_events
from modeltest.plain.json_text import JsonError, parse_published_json


@dataclass(frozen=True, slots=True)
class Chunk:
    """An event that may have brought tokens; `tokens` is how many, `None` where nothing says so."""

    time_ns: int
    text: str
    tokens: int | None
    ids: tuple[int, ...] | None = None


@dataclass(frozen=True, slots=True)
class Streamed:
    """What a stream brought. `error` says why it counts for nothing."""

    chunks: tuple[Chunk, ...] = ()
    usage: Usage = field(default_factory=Usage)
    finish: str | None = None
    first_ns: int | None = None
    """When the first byte of an event came."""

    error: str | None = None

    @property
    def text(self) -> str:
        """The whole answer."""
        return "".join(chunk.text for chunk in self.chunks)

    @property
    def ids(self) -> tuple[int, ...] | None:
        """The ids of all tokens; `None` where not every chunk told its own."""
        parts = [chunk.ids for chunk in self.chunks]
        known = [ids for ids in parts if ids is not None]
        return tuple(token for ids in known for token in ids) if len(known) == len(parts) else None


OPENAIS = Completions(frozenset())


def read_stream(pieces: Sequence[Piece], route: Route = OPENAIS) -> Streamed:
    """Take a stream of `route` apart. Without a reason for its end, or its last event, it broke off."""
    chunks: list[Chunk] = []
    totals: list[int | None] = []
    usage, finish, is_done = Usage(), None, False
    first_ns = first_data_ns(pieces)
    read = route.chunk_reader()
    for event in read_events(pieces):
        if event.data == DONE:
            is_done = True
            break
        reply = _read(event.data, read)
        if isinstance(reply, str):
            return Streamed(tuple(chunks), usage, finish, first_ns, error=reply)
        total = reply.usage.completion_tokens
        usage = usage if total is None else reply.usage
        finish = reply.finish or finish
        if reply.has_choice:
            size = None if reply.token_ids is None else len(reply.token_ids)
            chunks.append(Chunk(event.time_ns, reply.text or reply.thoughts, size, reply.token_ids))
            totals.append(total)
    error = None
    if finish is None or (route.ends_with_done and not is_done):
        lacking = "a reason for its end" if finish is None else "its last event"
        error = f"the stream broke off after {len(chunks)} chunks: {lacking} did not come"
    return Streamed(
        tuple(_that_bring_something(_sized(chunks, totals))),
        usage,
        finish,
        first_ns,
        error=error,
    )


def token_times(streamed: Streamed) -> tuple[tuple[int, ...], int] | str:
    """Return the time of every token and how many chunks brought several, or why times cannot be told.

    All tokens of a chunk have its time. Where chunks do not say how many tokens they brought, they must be as
    many as the tokens that the server counted.
    """
    chunks, count = streamed.chunks, streamed.usage.completion_tokens
    known = [chunk.tokens for chunk in chunks if chunk.tokens is not None]
    if len(known) == len(chunks):
        sizes = known
    else:
        chunks = _without_empty_end(chunks, count)
        if count is None:
            return "the server does not say how many tokens it made"
        if len(chunks) != count:
            return f"{count} tokens came in {len(chunks)} chunks, and nothing says which in which"
        sizes = [1] * count
    if count is not None and sum(sizes) != count:
        return f"the chunks brought {sum(sizes)} tokens, the server counted {count}"
    times = tuple(chunk.time_ns for chunk, size in zip(chunks, sizes, strict=True) for _ in range(size))
    return times, sum(size > 1 for size in sizes)


def is_cumulative(texts: Iterable[str]) -> bool:
    """Say whether every chunk repeats what came before, as MindIE's do with `fullTextEnabled`."""
    said = [text for text in texts if text]
    return len(said) > 2 and all(
        later.startswith(earlier) and len(later) > len(earlier) for earlier, later in pairwise(said)
    )


def _read(data: str, read: ReadChunk) -> Reply | str:
    """Return the chunk in an event, or what is wrong with it."""
    try:
        value = parse_published_json(data)
    except JsonError:
        return f"the stream holds {data!r:.80}, which is no JSON"
    if is_error(value):
        return f"the server broke the stream off: {message_of(value)}"
    try:
        return read(value)
    except ReplyError as problem:
        return str(problem)


def _sized(chunks: list[Chunk], totals: Sequence[int | None]) -> list[Chunk]:
    """Return the chunks with the numbers of their tokens where every one of them tells the total so far.

    A total in the last one alone, as of MindIE, says nothing of the others.
    """
    known = [total for total in totals if total is not None]
    if len(known) < len(chunks) or all(chunk.tokens is not None for chunk in chunks):
        return chunks
    return [
        replace(chunk, tokens=later - earlier)
        for chunk, earlier, later in zip(chunks, [0, *known], known, strict=False)
    ]


def _that_bring_something(chunks: Sequence[Chunk]) -> Iterator[Chunk]:
    """Yield chunks that bring tokens; where their numbers are not told, those with text and the last.

    The first of a chat brings a role, and one may bring the bytes of half a character.
    """
    are_told = any(chunk.tokens for chunk in chunks)
    for place, chunk in enumerate(chunks):
        is_last = place == len(chunks) - 1 and not are_told
        if chunk.tokens or (chunk.tokens is None and (chunk.text or is_last)):
            yield chunk


def _without_empty_end(chunks: tuple[Chunk, ...], count: int | None) -> tuple[Chunk, ...]:
    """Leave out a last chunk without text where it alone is too many: it brought the reason of the end."""
    is_spare = bool(chunks) and count == len(chunks) - 1 and not chunks[-1].text
    return chunks[:-1] if is_spare else chunks
