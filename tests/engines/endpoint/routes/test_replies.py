import pytest

from engines.endpoint.routes.replies import PromptToken, ReplyError, echoed_logprobs, read_reply
from engines.endpoint.transport.error_texts import said_in


def test_a_completion_is_read() -> None:
    value = {
        "choices": [
            {
                "text": " Paris",
                "finish_reason": "length",
                "token_ids": [7042],
                "prompt_token_ids": [5, 6],
                "logprobs": {
                    "tokens": ["token_id:7042"],
                    "token_logprobs": [-0.25],
                    "top_logprobs": [{"token_id:7042": -0.25, "token_id:260": -2.5, " word": -3.0}],
                },
                "prompt_logprobs": [None, {"6": {"logprob": -1.5, "rank": 3}}],
            }
        ],
        "usage": {
            "prompt_tokens": 2,
            "completion_tokens": 1,
            "prompt_tokens_details": {"cached_tokens": 1},
            "completion_tokens_details": {"reasoning_tokens": 4},
        },
    }
    reply = read_reply(value)
    assert (reply.text, reply.finish, reply.token_ids, reply.prompt_ids) == (
        " Paris",
        "length",
        (7042,),
        (5, 6),
    )
    assert reply.top == ({7042: -0.25, 260: -2.5},)
    assert reply.sampled == (7042,)
    assert reply.prompt_logprobs == (None, {6: PromptToken(-1.5, 3)})
    usage = reply.usage
    assert (usage.prompt_tokens, usage.completion_tokens, usage.cached_tokens, usage.reasoning_tokens) == (
        2,
        1,
        1,
        4,
    )


@pytest.mark.parametrize("field", ["reasoning", "reasoning_content"])
def test_thoughts_are_no_answer(field: str) -> None:
    message = {"role": "assistant", "content": None, field: "Let me see."}
    reply = read_reply({"choices": [{"message": message, "finish_reason": "length"}]})
    assert (reply.text, reply.thoughts) == ("", "Let me see.")


@pytest.mark.parametrize("value", [None, [], {}, {"choices": None}, {"choices": ["text"]}])
def test_what_is_no_completion_is_told(value: object) -> None:
    with pytest.raises(ReplyError):
        read_reply(value)


def _echo(**more: object) -> dict[str, object]:
    logprobs = {
        "tokens": ["token_id:5", "token_id:6", "token_id:7"],
        "token_logprobs": [None, -1.0, -2.0],
        "top_logprobs": [None, {"token_id:6": -1.0}, {"token_id:7": -2.0, "token_id:9": -0.5}],
    }
    return {"choices": [{"text": "", "logprobs": {**logprobs, **more}}]}


def test_an_echo_tells_the_tokens_of_the_prompt_and_which_are_the_likeliest() -> None:
    assert echoed_logprobs(_echo(), (5, 6)) == (None, PromptToken(-1.0, 1))
    assert echoed_logprobs(_echo(), (5, 6, 7)) == (None, PromptToken(-1.0, 1), PromptToken(-2.0, 2))
    assert echoed_logprobs(_echo(top_logprobs=None), (5, 6)) == (None, PromptToken(-1.0, None))


def test_an_echo_of_another_prompt_is_refused() -> None:
    with pytest.raises(ReplyError, match="echoes token 6"):
        echoed_logprobs(_echo(), (5, 8))
    with pytest.raises(ReplyError, match="3 log-probabilities"):
        echoed_logprobs(_echo(), (5, 6, 7, 8))


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b'{"error": {"message": "no model", "code": 404}}', "no model"),
        (b'{"error": "Unauthorized"}', "Unauthorized"),
        (b'{"object": "error", "message": "too long", "code": 400}', "too long"),
        (b'{"detail": [{"msg": "field required"}]}', "field required"),
        (b"<html>Bad\n gateway</html>", "<html>Bad gateway</html>"),
        (b"", "no text"),
    ],
)
def test_failures_are_read_in_the_shapes_that_servers_have_for_them(body: bytes, said: str) -> None:
    assert said_in(body) == said
