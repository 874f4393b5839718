import json
from typing import Any

from engines.endpoint.chunks import is_cumulative, read_stream, token_times
from engines.endpoint.routes.completions import Completions
from engines.endpoint.transport.events import Piece


def _stream(*events: Any, done: bool = True) -> list[Piece]:
    data = [event if isinstance(event, str) else json.dumps(event) for event in events]
    pieces = [Piece(10 * (place + 1), f"data: {text}\n\n".encode()) for place, text in enumerate(data)]
    return [*pieces, *([Piece(1000, b"data: [DONE]\n\n")] if done else [])]


def _chunk(text: str, ids: list[int] | None = None, **more: Any) -> dict[str, Any]:
    finish = more.pop("finish", None)
    return {"choices": [{"text": text, "token_ids": ids, "finish_reason": finish}], **more}


def _usage(tokens: int) -> dict[str, Any]:
    return {"usage": {"prompt_tokens": 3, "completion_tokens": tokens}}


def test_ids_say_which_chunk_brought_how_many_tokens() -> None:
    streamed = read_stream(
        _stream(
            _chunk("a", [1]),
            _chunk("bc", [2, 3]),
            _chunk("", [4], finish="length"),
            {"choices": [], **_usage(4)},
        )
    )
    assert streamed.error is None
    assert token_times(streamed) == ((10, 20, 20, 30), 1)
    assert streamed.ids == (1, 2, 3, 4)


def test_a_token_without_text_counts_and_a_role_does_not() -> None:
    role = {"choices": [{"delta": {"role": "assistant", "content": ""}, "finish_reason": None}]}
    said = {"choices": [{"delta": {"content": "a"}, "finish_reason": "stop"}], **_usage(1)}
    assert token_times(read_stream(_stream(role, said))) == ((20,), 0)


def test_running_totals_say_it_too() -> None:
    streamed = read_stream(
        _stream(
            _chunk("a", **_usage(1)), _chunk("bc", **_usage(3)), _chunk("d", finish="length", **_usage(4))
        )
    )
    assert token_times(streamed) == ((10, 20, 20, 30), 1)
    assert streamed.ids is None


def test_a_total_at_the_end_alone_fits_one_token_a_chunk_or_nothing_is_made_up() -> None:
    single = read_stream(_stream(_chunk("a"), _chunk("b", finish="length", **_usage(2))))
    assert token_times(single) == ((10, 20), 0)
    several = read_stream(_stream(_chunk("a"), _chunk("bc", finish="length", **_usage(3))))
    assert token_times(several) == "3 tokens came in 2 chunks, and nothing says which in which"


def test_a_last_chunk_without_a_token_is_left_out() -> None:
    streamed = read_stream(_stream(_chunk("a"), _chunk("b"), _chunk("", finish="stop", **_usage(2))))
    assert token_times(streamed) == ((10, 20), 0)


def test_a_chunk_that_says_nothing_is_none() -> None:
    empty = {"choices": [{"text": "", "finish_reason": None}]}
    last = {"choices": [{"text": "", "finish_reason": "length"}], **_usage(3)}
    streamed = read_stream(_stream(_chunk("ab", [1, 2]), empty, {"choices": []}, _chunk("c", [3]), last))
    assert token_times(streamed) == ((10, 10, 40), 1)


def test_ids_that_are_not_as_many_as_counted_are_told() -> None:
    streamed = read_stream(_stream(_chunk("a", [1], finish="length", **_usage(2))))
    assert token_times(streamed) == "the chunks brought 1 tokens, the server counted 2"


def test_without_a_count_there_are_no_times() -> None:
    assert "does not say how many" in str(token_times(read_stream(_stream(_chunk("a", finish="stop")))))


def test_a_stream_that_broke_off_is_failed() -> None:
    assert "its last event" in str(read_stream(_stream(_chunk("a", finish="stop"), done=False)).error)
    assert "a reason for its end" in str(read_stream(_stream(_chunk("a"))).error)
    assert read_stream([]).error


def test_a_server_whose_streams_have_no_last_event_ends_them_with_a_reason() -> None:
    endless = Completions(frozenset(), ends_with_done=False)
    whole, broken = (_stream(_chunk("a", finish=finish), done=False) for finish in ("stop", None))
    assert read_stream(whole, endless).error is None
    assert "a reason for its end" in str(read_stream(broken, endless).error)


def test_an_error_in_the_middle_is_what_is_told() -> None:
    streamed = read_stream(_stream(_chunk("a"), {"error": {"message": "engine dead"}}))
    assert streamed.error == "the server broke the stream off: engine dead"
    assert "no JSON" in str(read_stream(_stream("{half")).error)


def test_chunks_that_repeat_what_came_before_are_known() -> None:
    assert is_cumulative(["a", "ab", "abc"])
    assert not is_cumulative(["a", "b", "c"])
    assert not is_cumulative(["a", "ab"]), "too little to be sure"
