"""Each token of text on a trained model: vLLM in float32 beside transformers in float32."""

import pytest

from engines.hf.engine import HFEngine
from modeltest.api import Parallel, Request, RunSpec, TokenPrompt
from modeltest.models.checkpoint import inspect_checkpoint
from modeltest.testing.engine_contract import complete

pytestmark = [pytest.mark.vllm, pytest.mark.filterwarnings("default")]

NEAR = 1e-3
TEXT = (
    "The lighthouse stood on the last rock before the open sea, and its keeper climbed the stairs at dusk. "
    "Water boils at a lower temperature on a mountain, because the air above it weighs less than below. "
    "In 1869 Mendeleev ordered the elements by weight and left gaps for those that nobody had seen yet. "
    "A contract is made when one side offers something and the other accepts it as it was offered. "
    "She had meant to write at once; but the days went by, and with each it became harder to begin."
)


@pytest.fixture(scope="module")
def requests(trained_model):
    from transformers import AutoTokenizer

    ids = tuple(AutoTokenizer.from_pretrained(trained_model("float32"))(TEXT)["input_ids"])
    assert len(ids) >= 105
    return [
        Request(
            str(begin),
            TokenPrompt(ids[begin : begin + 16]),
            choices=(ids[begin + 16 : begin + 80],),
            each_token=True,
        )
        for begin in (0, 5, 10, 15, 20, 25)
    ]


@pytest.fixture(scope="module")
def expected(trained_model, requests):
    spec = RunSpec("hf_fp32", "test", "test", "auto", str(trained_model("float32")), dtype="float32")
    engine = HFEngine()
    engine.load(spec, inspect_checkpoint(spec))
    found = complete(engine, requests)
    engine.close()
    return found


@pytest.mark.parametrize("more", [{}, {"world_size": 2, "parallel": Parallel(dp=2)}], ids=["one", "replicas"])
def test_tokens_are_those_of_transformers(trained_model, start_vllm, requests, expected, more):
    loaded = start_vllm(trained_model("float32"), **more)
    try:
        for batch_size in (1, 4):
            for name, one in complete(loaded.engine, requests, batch_size).items():
                assert one.error is None
                assert len(one.token_logprobs[0]) == 64
                assert one.token_logprobs[0] == pytest.approx(expected[name].token_logprobs[0], abs=NEAR)
    finally:
        loaded.engine.close()
