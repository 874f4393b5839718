import pytest
from hypothesis import given
from hypothesis import strategies as st

from engines.endpoint.transport.events import Piece
from engines.endpoint.transport.http_body import FrameError, body_pieces

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"


def _chunked(parts: list[bytes]) -> bytes:
    return b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts if part) + b"0\r\n\r\n"


def _cut(data: bytes, places: list[int]) -> list[Piece]:
    ends = sorted({min(place, len(data)) for place in places} | {len(data)})
    return [
        Piece(end, data[begin:end]) for begin, end in zip([0, *ends[:-1]], ends, strict=True) if begin < end
    ]


@given(st.lists(st.binary(max_size=40), max_size=6), st.lists(st.integers(0, 500), max_size=30))
def test_a_chunked_body_is_the_same_wherever_reads_end(parts: list[bytes], places: list[int]) -> None:
    pieces = body_pieces(_cut(HEAD + _chunked(parts), places))
    assert b"".join(piece.data for piece in pieces) == b"".join(parts)
    times = [piece.time_ns for piece in pieces]
    assert times == sorted(times)


def test_each_byte_has_the_time_of_its_read() -> None:
    reads = [Piece(1, HEAD), Piece(2, b"5\r\nab"), Piece(3, b"cde\r\n2\r\nf"), Piece(4, b"g\r\n0\r\n\r\n")]
    assert body_pieces(reads) == [Piece(2, b"ab"), Piece(3, b"cde"), Piece(3, b"f"), Piece(4, b"g")]


def test_a_body_that_broke_off_is_there_as_far_as_it_came() -> None:
    assert body_pieces([Piece(1, HEAD + b"5\r\nab")]) == [Piece(1, b"ab")]
    assert body_pieces([Piece(1, HEAD[:20])]) == []


def test_an_answer_of_known_length_has_no_frame() -> None:
    reads = [Piece(1, b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\na"), Piece(2, b"bc")]
    assert body_pieces(reads) == [Piece(1, b"a"), Piece(2, b"bc")]


def test_an_interim_answer_is_passed_over() -> None:
    reads = [Piece(1, b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n\r\nab")]
    assert body_pieces(reads) == [Piece(1, b"ab")]


def test_what_is_no_chunk_is_told() -> None:
    with pytest.raises(FrameError, match="no size"):
        body_pieces([Piece(1, HEAD + b"zz\r\n")])
