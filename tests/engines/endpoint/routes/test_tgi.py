from typing import Any

import pytest

from engines.endpoint.routes.replies import PromptToken, ReplyError
from engines.endpoint.routes.tgi import TgiGenerate

ROUTE = TgiGenerate(lambda ids: "".join(map(chr, ids)))
GREEDY = {"max_new_tokens": 4, "details": True, "do_sample": False}


def test_token_ids_are_sent_as_their_text_and_their_tokens_are_asked_for() -> None:
    wishes = {"max_tokens": 4, "temperature": 0, "top_p": 1}
    assert ROUTE.request({"prompt": [97, 98], **wishes}) == (
        "//generate",
        {"inputs": "ab", "parameters": {**GREEDY, "decoder_input_details": True}},
    )
    assert ROUTE.request({"prompt": "ab", **wishes}) == ("//generate", {"inputs": "ab", "parameters": GREEDY})


def test_streams_have_a_path_of_their_own_and_nothing_of_the_prompt() -> None:
    wishes = {"prompt": [97], "max_tokens": 4, "stream": True, "stop": ["b"], "logprobs": 2}
    assert ROUTE.request(wishes) == (
        "//generate_stream",
        {"inputs": "a", "parameters": {**GREEDY, "stop": ["b"], "top_n_tokens": 2}},
    )


def _details(**more: Any) -> dict[str, Any]:
    tokens = [{"id": 7, "text": " yes", "logprob": -0.5, "special": False}]
    return {"finish_reason": "length", "generated_tokens": 1, "seed": None, "tokens": tokens, **more}


def test_an_answer_tells_the_tokens_of_its_prompt_and_its_own() -> None:
    prefill = [{"id": 1, "logprob": None}, {"id": 5, "logprob": -2.0}]
    top = [[{"id": 7, "logprob": -0.5}, {"id": 8, "logprob": -1.5}]]
    reply = ROUTE.read({"generated_text": " yes", "details": _details(prefill=prefill, top_tokens=top)})
    assert (reply.text, reply.finish, reply.token_ids, reply.prompt_ids) == (" yes", "length", (7,), (1, 5))
    assert reply.prompt_logprobs == (None, {5: PromptToken(-2.0)})
    assert (reply.top, reply.sampled) == (({7: -0.5, 8: -1.5},), (7,))
    assert (reply.usage.prompt_tokens, reply.usage.completion_tokens) == (2, 1)


def test_mindie_tells_ids_and_counts_without_log_probabilities() -> None:
    prefill = [{"id": 1, "logprob": None, "special": None, "text": None}]
    tokens = [{"id": 7, "logprob": None, "special": None, "text": None}]
    details = _details(prefill=prefill, tokens=tokens, prompt_tokens=1, finish_reason="eos_token")
    reply = ROUTE.read({"generated_text": "", "details": details})
    assert (reply.finish, reply.token_ids, reply.prompt_ids) == ("stop", (7,), (1,))
    assert (reply.top, reply.prompt_logprobs) == (({},), (None,))


def test_a_prompt_that_is_not_told_is_not_known() -> None:
    reply = ROUTE.read({"generated_text": "", "details": _details(prefill=[])})
    assert (reply.prompt_ids, reply.usage.prompt_tokens, reply.prompt_logprobs) == (None, None, ())


@pytest.mark.parametrize(
    "value", [None, {}, {"generated_text": "a"}, {"generated_text": "a", "details": None}]
)
def test_what_is_no_answer_is_told(value: object) -> None:
    with pytest.raises(ReplyError):
        ROUTE.read(value)
    with pytest.raises(ReplyError):
        ROUTE.chunk_reader()(value)


@pytest.mark.parametrize(("ids", "known"), [(7, (7,)), ([7, 8], (7, 8)), (None, None)])
def test_events_have_one_id_or_several(ids: Any, known: Any) -> None:
    token = {"id": ids, "text": "a", "logprob": -0.5, "special": False}
    reply = ROUTE.chunk_reader()({"token": token, "generated_text": None, "details": None})
    assert (reply.text, reply.token_ids, reply.finish) == ("a", known, None)


def test_the_last_event_has_counts_and_the_reason() -> None:
    details = {"finish_reason": "stop_sequence", "generated_tokens": 3, "input_length": 2, "seed": None}
    value = {"token": {"id": 7, "text": "a"}, "generated_text": "abc", "details": details}
    reply = ROUTE.chunk_reader()(value)
    assert (reply.finish, reply.usage.prompt_tokens, reply.usage.completion_tokens) == ("stop_sequence", 2, 3)
