from hypothesis import given
from hypothesis import strategies as st

from engines.endpoint.transport.events import Event, Piece, first_data_ns, read_events


def _cut(data: bytes, places: list[int]) -> list[Piece]:
    ends = sorted({min(place, len(data)) for place in places} | {len(data)})
    begins = [0, *ends[:-1]]
    cut = [data[begin:end] for begin, end in zip(begins, ends, strict=True)]
    return [Piece(time, part) for time, part in enumerate(part for part in cut if part)]


@given(
    st.lists(st.text(st.characters(exclude_characters="\r\n", codec="utf-8"), min_size=1), max_size=5),
    st.lists(st.integers(0, 400), max_size=20),
    st.sampled_from(["\n", "\r\n"]),
)
def test_events_are_the_same_wherever_the_bytes_are_cut(
    texts: list[str], places: list[int], end: str
) -> None:
    stream = "".join(f": keep-alive{end}{end}data: {text}{end}{end}" for text in texts).encode()
    pieces = _cut(stream, places)
    events = list(read_events(pieces))
    assert [event.data for event in events] == texts
    assert all(event.first_ns <= event.time_ns for event in events)


def test_an_event_is_complete_with_the_piece_that_ends_it() -> None:
    pieces = [
        Piece(10, b": ping\n\nda"),
        Piece(20, b"data"[2:] + ": 眒".encode()[:3]),
        Piece(30, "眒".encode()[1:] + b"\n\n"),
    ]
    assert list(read_events(pieces)) == [Event("眒", 10, 30)]
    assert first_data_ns(pieces) == 10


def test_comments_are_no_first_byte() -> None:
    assert first_data_ns([Piece(1, b": ping\n\n"), Piece(2, b": ping\n\n")]) is None
    assert first_data_ns([Piece(1, b": ping\n\n: pi"), Piece(2, b"ng\n\n"), Piece(3, b"data: x")]) == 3


def test_an_event_that_its_server_did_not_finish_is_none() -> None:
    assert list(read_events([Piece(1, b'data: {"a": 1}\n')])) == []


def test_lines_of_one_event_belong_together() -> None:
    (event,) = read_events([Piece(1, b"event: x\ndata: one\ndata: two\n\n")])
    assert event.data == "one\ntwo"
