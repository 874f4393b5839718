"""A model split over ranks that vLLM starts itself, and replicas of one: they answer as one rank does."""

import pytest

from modeltest.api import (
    GenerationOptions,
    Parallel,
    RankUse,
    Request,
    Sampling,
    TaskOptions,
    TextPrompt,
    TokenPrompt,
)
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
REQUESTS += [
    Request(f"each {i}", TokenPrompt((20 + i, 30, 40)), choices=(tuple(range(50, 70 + i)),), each_token=True)
    for i in range(6)
]


TEXTS = [request for request in REQUESTS if request.max_new_tokens]
TWO = Parallel(dp=2)
DRAWN = TaskOptions(generation=GenerationOptions(6, sampling=Sampling(temperature=1.0)))


def answered(loaded, requests=REQUESTS):
    """Return all completions by their request, and close the engine."""
    try:
        return complete(loaded.engine, requests)
    finally:
        loaded.engine.close()


@pytest.fixture(scope="module")
def right(llama, start_vllm):
    return answered(start_vllm(llama))


@pytest.mark.parametrize(
    ("asked", "use"),
    [
        ({"world_size": 2}, RankUse(2, 2, 1, "gloo", ("cpu",) * 2)),
        ({"world_size": 2, "parallel": TWO}, RankUse(2, 1, 2, "sockets", ("cpu",) * 2)),
        ({"world_size": 4, "parallel": TWO}, RankUse(4, 2, 2, "gloo", ("cpu",) * 4)),
    ],
    ids=["split", "replicas", "split replicas"],
)
def test_ranks_answer_as_one_does(llama, start_vllm, right, asked, use):
    many = start_vllm(llama, **asked)
    assert many.info.ranks == use
    found = answered(many)
    assert found.keys() == right.keys()
    for name, mine in found.items():
        assert mine.error is None
        assert mine.output_tokens == right[name].output_tokens
        if right[name].choice_logprobs is not None:
            assert mine.choice_logprobs == pytest.approx(right[name].choice_logprobs, abs=1e-4)
        assert len(mine.token_logprobs) == name.startswith("each")
        for own, one in zip(mine.token_logprobs, right[name].token_logprobs, strict=True):
            assert own == pytest.approx(one, abs=1e-4)


def test_what_is_drawn_does_not_depend_on_the_replica_that_draws_it(llama, start_vllm):
    one = answered(start_vllm(llama, options=DRAWN), TEXTS)
    two = answered(start_vllm(llama, options=DRAWN, world_size=2, parallel=TWO), TEXTS)
    said = {name: each.output_tokens for name, each in one.items()}
    assert {name: each.output_tokens for name, each in two.items()} == said
    assert len(set(said.values())) > 1
