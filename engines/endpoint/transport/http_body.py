"""The body of an HTTP/1.1 answer out of the reads of its connection, each byte with its time. Pure.

aiohttp hands a body on without the times of its reads; they are taken below it, where bytes still have
HTTP's frame around them.
"""

from __future__ import annotations

from collections.abc import Sequence

from engines.endpoint.transport.events import Piece

_END_OF_HEAD = b"\r\n\r\n"


class FrameError(ValueError):
    """The bytes are no answer in HTTP/1.1 with a body as it is."""


def body_pieces(reads: Sequence[Piece]) -> list[Piece]:
    """Return the body in pieces, as far as it was read; an interim answer (1xx) is passed over.

    Raises: FrameError.
    """
    source = _Reads(reads)
    head = source.until(_END_OF_HEAD)
    while head is not None and head[:12].split(b" ")[-1][:1] == b"1":
        head = source.until(_END_OF_HEAD)
    if head is None:
        return []
    headers = dict(_headers(head))
    if headers.get(b"content-encoding", b"identity") != b"identity":
        raise FrameError("the body is compressed")
    if headers.get(b"transfer-encoding", b"").split(b",")[-1].strip() != b"chunked":
        return source.rest()
    return _chunks(source)


def _headers(head: bytes) -> list[tuple[bytes, bytes]]:
    pairs = (line.partition(b":") for line in head.split(b"\r\n")[1:])
    return [(name.strip().lower(), value.strip().lower()) for name, _, value in pairs]


def _chunks(source: _Reads) -> list[Piece]:
    pieces: list[Piece] = []
    while (line := source.until(b"\r\n")) is not None:
        try:
            size = int(line.split(b";")[0], 16)
        except ValueError:
            raise FrameError(f"{line!r:.40} is no size of a chunk") from None
        if size == 0:
            break
        pieces += source.take(size)
        source.until(b"\r\n")
    return pieces


class _Reads:
    """Reads from left to right."""

    def __init__(self, reads: Sequence[Piece]) -> None:
        self._reads = reads
        self._at = 0
        self._offset = 0

    def until(self, mark: bytes) -> bytes | None:
        """Return what stands before `mark` and step over both; `None` where there is no mark any more."""
        found = bytearray()
        for index in range(self._at, len(self._reads)):
            data = self._reads[index].data
            begin = self._offset if index == self._at else 0
            before = len(found)
            found += data[begin:]
            place = found.find(mark, max(0, before - len(mark) + 1))
            if place >= 0:
                self._at, self._offset = index, begin + place + len(mark) - before
                return bytes(found[:place])
        self._at, self._offset = len(self._reads), 0
        return None

    def take(self, size: int) -> list[Piece]:
        """Return the next `size` bytes, or as many as there are."""
        pieces = []
        while size and self._at < len(self._reads):
            read = self._reads[self._at]
            data = read.data[self._offset : self._offset + size]
            if data:
                pieces.append(Piece(read.time_ns, data))
            size -= len(data)
            self._offset += len(data)
            if self._offset >= len(read.data):
                self._at, self._offset = self._at + 1, 0
        return pieces

    def rest(self) -> list[Piece]:
        """Return everything that is left."""
        return self.take(sum(len(read.data) for read in self._reads))
