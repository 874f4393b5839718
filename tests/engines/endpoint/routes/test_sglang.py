from typing import Any

import pytest

from engines.endpoint.routes.replies import PromptToken, ReplyError
from engines.endpoint.routes.sglang import SglangGenerate

ROUTE = SglangGenerate()


def _answer(text: str, ids: list[int] | None, total: int, **meta: Any) -> dict[str, Any]:
    told = {"prompt_tokens": 3, "completion_tokens": total, "cached_tokens": 0, "finish_reason": None}
    return {"text": text, **({} if ids is None else {"output_ids": ids}), "meta_info": told | meta}


def test_wishes_are_written_in_its_own_words() -> None:
    wishes = {"prompt": [5, 6], "max_tokens": 4, "min_tokens": 2, "seed": 9, "temperature": 0, "model": "m"}
    assert ROUTE.request(wishes) == (
        "//generate",
        {
            "input_ids": [5, 6],
            "sampling_params": {
                "max_new_tokens": 4,
                "min_new_tokens": 2,
                "sampling_seed": 9,
                "temperature": 0,
            },
        },
    )
    assert ROUTE.request({"prompt": "a", "stream": True})[1] == {
        "text": "a",
        "sampling_params": {},
        "stream": True,
    }


@pytest.mark.parametrize(
    ("wishes", "asked"),
    [
        ({"prompt_logprobs": 0}, {"logprob_start_len": 0, "top_logprobs_num": 1}),
        ({"prompt_logprobs": 0, "prompt_logprobs_from": 7}, {"logprob_start_len": 7, "top_logprobs_num": 1}),
        ({"logprobs": 20}, {"logprob_start_len": -1, "top_logprobs_num": 20}),
        (
            {"logprobs": 1, "logprob_token_ids": [3, 4]},
            {"logprob_start_len": -1, "top_logprobs_num": 1, "token_ids_logprob": [3, 4]},
        ),
    ],
)
def test_log_probabilities_are_asked_for_where_they_are_wanted(
    wishes: dict[str, Any], asked: dict[str, Any]
) -> None:
    _, body = ROUTE.request({"prompt": [1], **wishes})
    assert body == {"input_ids": [1], "sampling_params": {}, "return_logprob": True, **asked}


def test_an_answer_tells_ids_counts_and_log_probabilities_by_id() -> None:
    reply = ROUTE.read(
        _answer(
            " yes",
            [7],
            1,
            finish_reason={"type": "length", "length": 1},
            output_token_logprobs=[[-0.5, 7, None]],
            output_top_logprobs=[[[-0.5, 7, None], [-2.0, 8, None]]],
            output_token_ids_logprobs=[[[-9.0, 1, None]]],
            cached_tokens=2,
        )
    )
    assert (reply.text, reply.finish, reply.token_ids, reply.sampled) == (" yes", "length", (7,), (7,))
    assert reply.top == ({7: -0.5, 8: -2.0, 1: -9.0},)
    usage = reply.usage
    assert (usage.prompt_tokens, usage.completion_tokens, usage.cached_tokens) == (3, 1, 2)


def test_what_is_told_of_a_prompts_end_stands_at_its_places() -> None:
    told = {
        "input_token_logprobs": [[None, 6, None], [-2.0, 9, None]],
        "input_top_logprobs": [None, [[-1.0, 4, None]]],
    }
    reply = ROUTE.read(_answer("", [], 0, **told))
    assert reply.prompt_logprobs == (None, None, {9: PromptToken(-2.0, 2)})
    told["input_top_logprobs"] = [None, [[-2.0, 9, None]]]
    assert ROUTE.read(_answer("", [], 0, **told)).prompt_logprobs[2] == {9: PromptToken(-2.0, 1)}
    del told["input_top_logprobs"]
    assert ROUTE.read(_answer("", [], 0, **told)).prompt_logprobs[2] == {9: PromptToken(-2.0, None)}


@pytest.mark.parametrize("value", [None, [], {"choices": []}, {"error": {"message": "no"}}])
def test_what_is_no_answer_is_told(value: object) -> None:
    with pytest.raises(ReplyError, match="no meta_info"):
        ROUTE.read(value)


def test_a_request_that_the_server_gave_up_is_no_answer() -> None:
    reason = {"type": "abort", "message": "out of memory", "status_code": 500}
    with pytest.raises(ReplyError, match="gave the request up: out of memory"):
        ROUTE.read(_answer("", [], 0, finish_reason=reason))


EVENTS = [("a", [1], 1), ("abc", [1, 2, 3], 3), ("abc", [1, 2, 3, 4], 4)]


def test_events_with_all_so_far_and_events_with_what_is_new_say_the_same() -> None:
    whole, new = ROUTE.chunk_reader(), ROUTE.chunk_reader()
    parts = [("a", [1], 1), ("bc", [2, 3], 3), ("", [4], 4)]
    for event, part in zip(EVENTS, parts, strict=True):
        one, other = whole(_answer(*event)), new(_answer(*part))
        assert (one.text, one.token_ids) == (other.text, other.token_ids) == (part[0], tuple(part[1]))


def test_events_without_ids_are_counted_by_their_totals() -> None:
    read = ROUTE.chunk_reader()
    found = [read(_answer(text, None, total)) for text, _, total in EVENTS]
    assert [reply.usage.completion_tokens for reply in found] == [1, 3, 4]
    assert [reply.token_ids for reply in found] == [None] * 3


@pytest.mark.parametrize("event", [("ab", [1], 3), ("", [], 0), ("ab", [1, 2, 3], None)])
def test_events_whose_ids_are_not_as_many_as_counted_are_refused(event: Any) -> None:
    read = ROUTE.chunk_reader()
    read(_answer("a", [1], 1))
    with pytest.raises(ReplyError):
        read(_answer(*event))
