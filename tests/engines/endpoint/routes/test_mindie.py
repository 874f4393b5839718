from typing import Any

import pytest

from engines.endpoint.routes.mindie import MindieInfer
from engines.endpoint.routes.replies import ReplyError

ROUTE = MindieInfer()
GREEDY = {"max_new_tokens": 4, "details": True, "do_sample": False}


def test_texts_and_token_ids_have_a_route_each() -> None:
    wishes = {"max_tokens": 4, "temperature": 0, "top_p": 1, "repetition_penalty": 1, "stop": ["a"]}
    assert ROUTE.request({"prompt": "a", **wishes}) == (
        "//infer",
        {"inputs": "a", "stream": False, "parameters": GREEDY},
    )
    assert ROUTE.request({"prompt": [5, 6], "stream": True, **wishes}) == (
        "//infer_token",
        {"input_id": [5, 6], "stream": True, "parameters": GREEDY},
    )


@pytest.mark.parametrize(
    ("wishes", "told"),
    [
        ({"temperature": 0.7, "top_p": 1.0, "top_k": 0}, {"temperature": 0.7, "top_k": (1 << 31) - 1}),
        ({"temperature": 1, "top_p": 0.9, "top_k": 5}, {"temperature": 1, "top_p": 0.9, "top_k": 5}),
        ({"temperature": 1, "seed": 0}, {"temperature": 1, "seed": 1}),
    ],
)
def test_what_restricts_nothing_is_left_out_or_as_wide_as_can_be(
    wishes: dict[str, Any], told: dict[str, Any]
) -> None:
    _, body = ROUTE.request({"prompt": "a", "max_tokens": 4, **wishes})
    assert body["parameters"] == {"max_new_tokens": 4, "details": True, "do_sample": True, **told}


def test_an_answer_has_its_ids() -> None:
    details = {"finish_reason": "eos_token", "generated_tokens": 2, "generated_token_ids": [7, 9], "seed": 1}
    reply = ROUTE.read({"generated_text": " yes", "details": details})
    assert (reply.text, reply.finish, reply.token_ids) == (" yes", "stop", (7, 9))
    assert (reply.usage.prompt_tokens, reply.usage.completion_tokens) == (None, 2)


@pytest.mark.parametrize("reason", ["stop_sequence", "invalid flag"])
def test_an_answer_that_was_cancelled_is_none(reason: str) -> None:
    with pytest.raises(ReplyError, match="gave the request up"):
        ROUTE.read({"generated_text": "", "details": {"finish_reason": reason}})


@pytest.mark.parametrize("value", [None, [], {}, {"generated_text": None}, {"choices": []}])
def test_what_is_no_answer_is_told(value: object) -> None:
    with pytest.raises(ReplyError):
        ROUTE.read(value)
    with pytest.raises(ReplyError):
        ROUTE.chunk_reader()(value)


def test_events_have_one_id_or_several_and_the_last_has_the_counts() -> None:
    read = ROUTE.chunk_reader()
    older = read({"prefill_time": 45.5, "decode_time": None, "token": {"id": 626, "text": "am"}})
    newer = read({"prefill_time": None, "decode_time": 5.1, "token": {"id": [1, 2], "text": "bc"}})
    assert (older.token_ids, newer.token_ids, newer.finish) == ((626,), (1, 2), None)
    details = {"finish_reason": "length", "generated_tokens": 4, "seed": None}
    last = read({"generated_text": "ambc", "details": details, "token": {"id": [3], "text": None}})
    assert (last.text, last.token_ids, last.finish) == ("", (3,), "length")
    assert last.usage.completion_tokens == 4
