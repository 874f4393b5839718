"""Server-sent events out of the pieces in which they arrived, each with its time. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

DONE = "[DONE]"


@dataclass(frozen=True, slots=True)
class Piece:
    """Bytes of a body and when they were read."""

    time_ns: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Event:
    """The data of one event: when its first byte arrived, and when it was complete."""

    data: str
    first_ns: int
    time_ns: int


def read_events(pieces: Iterable[Piece]) -> Iterator[Event]:
    """Yield the events that are complete and carry data; comments (`: keep-alive`) are none.

    Lines end with LF or CR LF. Bytes become text by whole events, so that a character may be split between
    pieces. An event that its server did not finish is not yielded.

    Source: "Server-sent events" in the HTML standard, without event names, ids and lone CR.
    """
    lines: list[bytes] = []
    first_ns: int | None = None
    rest = b""
    rest_ns = 0
    for piece in pieces:
        parts = piece.data.split(b"\n")
        begin_ns = rest_ns if rest else piece.time_ns
        for part in parts[:-1]:
            line = (rest + part).removesuffix(b"\r")
            rest = b""
            if line.startswith(b"data:"):
                first_ns = begin_ns if first_ns is None else first_ns
                lines.append(line[5:].removeprefix(b" "))
            elif not line and first_ns is not None:
                yield Event(b"\n".join(lines).decode(errors="replace"), first_ns, piece.time_ns)
                lines, first_ns = [], None
            begin_ns = piece.time_ns
        if not rest and parts[-1]:
            rest_ns = piece.time_ns
        rest += parts[-1]


def first_data_ns(pieces: Iterable[Piece]) -> int | None:
    """Return when the first byte of an event arrived, also of one not finished; comments are none."""
    rest, rest_ns = b"", 0
    for piece in pieces:
        for line in (piece.data).splitlines(keepends=True):
            if not rest:
                rest_ns = piece.time_ns
            rest += line
            if rest.startswith(b"data:"):
                return rest_ns
            if rest.endswith(b"\n"):
                rest = b""
    return None
