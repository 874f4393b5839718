"""A model split over two ranks, which vLLM starts itself: it answers as one rank does."""

import pytest

from modeltest.api import RankUse, Request, TextPrompt
from modeltest.testing.engine_contract import complete

pytestmark = [pytest.mark.vllm, pytest.mark.filterwarnings("default")]

REQUESTS = [
    Request(f"{kind} {i}", TextPrompt("", (), f"Question: is {i} odd?\nAnswer:"), **asked)
    for i in range(6)
    for kind, asked in (
        ("one", {"choices": (" yes", " no")}),
        ("more", {"choices": (" yes it is", " no it is not")}),
        ("text", {"max_new_tokens": 6}),
    )
]


def test_two_ranks_answer_as_one_does(llama, start_vllm):
    one = start_vllm(llama)
    try:
        right = complete(one.engine, REQUESTS)
    finally:
        one.engine.close()
    two = start_vllm(llama, world_size=2)
    try:
        assert two.info.ranks == RankUse(2, 2, 1, "gloo", ("cpu", "cpu"))
        found = complete(two.engine, REQUESTS)
    finally:
        two.engine.close()
    for name, mine in found.items():
        assert mine.error is None
        assert mine.output_tokens == right[name].output_tokens
        if right[name].choice_logprobs is not None:
            assert mine.choice_logprobs == pytest.approx(right[name].choice_logprobs, abs=1e-4)
