"""Each token of real text on a trained model: what the engines say is what one plain pass says of it."""

import statistics

import pytest

from engines.hf.engine import HFEngine
from engines.hf.paged.engine import HFPagedEngine
from modeltest.api import Request, RunSpec, TokenPrompt
from modeltest.models.checkpoint import inspect_checkpoint
from modeltest.testing.engine_contract import complete

CONTEXT = 16

SENTENCES = (
    "The lighthouse stood on the last rock before the open sea, and its keeper climbed the stairs at dusk.",
    "Water boils at a lower temperature on a mountain, because the air above it weighs less than below.",
    "In 1869 Mendeleev ordered the elements by weight and left gaps for those that nobody had seen yet.",
    "def mean(values):\n    return sum(values) / len(values)\n\n\nprint(mean([1, 2, 3, 4]))\n",
    "A contract is made when one side offers something and the other accepts it as it was offered.",
    "She had meant to write at once; but the days went by, and with each it became harder to begin.",
)
LENGTHS = (16, 32, 64, 64, 96, 100)


@pytest.fixture(scope="module")
def texts(trained_model):
    """Return the token ids of six texts, each of all sentences from another one on."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(trained_model("float32"))
    found = []
    for at, length in enumerate(LENGTHS):
        text = " ".join(SENTENCES[at:] + SENTENCES[:at])
        found.append(tuple(tokenizer(text)["input_ids"])[: CONTEXT + length])
        assert len(found[-1]) == CONTEXT + length
    return found


def plain(directory, texts):
    """Return the log-probability of each token of each text behind its context, by a pass of one text."""
    import torch
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(directory, dtype="auto").eval()
    found = []
    for ids in texts:
        with torch.inference_mode():
            table = model(torch.tensor([ids])).logits[0].float().log_softmax(-1)
        found.append(table[CONTEXT - 1 : -1][range(len(ids) - CONTEXT), ids[CONTEXT:]].tolist())
    return found


def asked(engine, directory, dtype, texts):
    """Yield the same as `engine` says it, one by one and four together."""
    spec = RunSpec(engine.name, "test", "test", "auto", str(directory), dtype=dtype)
    requests = [
        Request(str(at), TokenPrompt(ids[:CONTEXT]), choices=(ids[CONTEXT:],), each_token=True)
        for at, ids in enumerate(texts)
    ]
    engine.load(spec, inspect_checkpoint(spec))
    try:
        for batch_size in (1, 4):
            found = complete(engine, requests, batch_size)
            assert not any(one.error for one in found.values())
            yield [list(found[str(at)].token_logprobs[0]) for at in range(len(texts))]
    finally:
        engine.close()


def distances(found, right):
    """Return how far each token is from what is right, in nats."""
    assert [len(row) for row in found] == [len(row) for row in right]
    return [
        abs(one - other)
        for row, other_row in zip(found, right, strict=True)
        for one, other in zip(row, other_row, strict=True)
    ]


@pytest.mark.parametrize("kind", [HFEngine, HFPagedEngine])
def test_tokens_in_float32_are_those_of_a_plain_pass(trained_model, texts, kind):
    directory = trained_model("float32")
    right = plain(directory, texts)
    for found in asked(kind(), directory, "float32", texts):
        assert max(distances(found, right)) <= 1e-4


@pytest.mark.parametrize("kind", [HFEngine, HFPagedEngine])
def test_tokens_in_bfloat16_are_those_of_a_plain_pass_but_for_rounding(trained_model, texts, kind):
    directory = trained_model("bfloat16")
    right, exact = plain(directory, texts), plain(trained_model("float32"), texts)
    for found in asked(kind(), directory, "bfloat16", texts):
        apart, rounding = (statistics.mean(distances(found, other)) for other in (right, exact))
        assert apart <= 0.05
        assert apart <= 1.5 * rounding, "as far as rounding goes"
        told = [value for row in found for value in row]
        assert len(set(told)) > 0.9 * len(told), "as many digits as float32 has, not those of bfloat16"
