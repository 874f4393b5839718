"""Log-probabilities of choices and of each of their tokens, however rows are fed, against a plain pass."""

import math

import pytest
import torch
from transformers import AutoModelForCausalLM

from engines.common.encoding import Encoded
from engines.hf.answering import answers
from engines.hf.answering.answers import choose
from engines.hf.answering.rows import AloneRows, PaddedRows, tree_feeder
from engines.hf.model.forward import Forward
from modeltest.api import Request, TokenPrompt

FEEDINGS = ("shared", "padded", "alone")
BEGINNING = tuple(range(30, 60))
PROMPTS = [(*BEGINNING[: 20 + row], 70 + row, 7) for row in range(6)]
CONTINUATIONS = [tuple((11 * at + row) % 80 + 10 for at in range(3 + 4 * row)) for row in range(6)]


@pytest.fixture(scope="module")
def model(demo_model):
    return AutoModelForCausalLM.from_pretrained(demo_model("llama"), dtype=torch.float32).eval()


@pytest.fixture(params=FEEDINGS)
def feeder(request, model):
    forward = Forward(model, "cpu", 0)
    if request.param == "shared":
        found, reason = tree_feeder(model, "cpu")
        assert found is not None, reason
        return found
    padded = PaddedRows(forward)
    return padded if request.param == "padded" else AloneRows(padded, forward)


def encoded(row, choices, *, each_token):
    request = Request(str(row), TokenPrompt(PROMPTS[row]), choices=choices, each_token=each_token)
    return Encoded(request, PROMPTS[row], choices)


def plain(model, prompt, tokens):
    """Return the log-probability of each of `tokens` behind `prompt`."""
    with torch.inference_mode():
        table = model(torch.tensor([[*prompt, *tokens]])).logits[0].log_softmax(-1)
    return table[len(prompt) - 1 : -1][range(len(tokens)), tokens].tolist()


def told(feeder, asked, batch_size):
    """Return the completions in the order of `asked`."""
    done = [one for batch in choose(asked, feeder, batch_size) for one in batch]
    return sorted(done, key=lambda one: int(one.request_id))


@pytest.mark.parametrize("batch_size", [1, 4, 100])
def test_each_token_has_the_log_probability_of_a_plain_pass(model, feeder, batch_size):
    asked = [encoded(row, (CONTINUATIONS[row], (9,)), each_token=True) for row in range(6)]
    for row, one in enumerate(told(feeder, asked, batch_size)):
        (long, short) = one.token_logprobs
        assert long == pytest.approx(plain(model, PROMPTS[row], CONTINUATIONS[row]), abs=1e-4)
        assert short == pytest.approx(plain(model, PROMPTS[row], (9,)), abs=1e-4)
        assert one.choice_logprobs == pytest.approx((math.fsum(long), math.fsum(short)))


def test_only_those_who_ask_are_told_of_each_token(model, feeder):
    asked = [encoded(row, (CONTINUATIONS[row],), each_token=row % 2 == 0) for row in range(4)]
    found = told(feeder, asked, 4)
    assert [len(one.token_logprobs) for one in found] == [1, 0, 1, 0]
    for row, one in enumerate(found):
        right = math.fsum(plain(model, PROMPTS[row], CONTINUATIONS[row]))
        assert one.choice_logprobs == pytest.approx((right,), abs=1e-3)


def test_logits_are_read_in_parts_where_they_are_many(model, feeder, monkeypatch):
    asked = [encoded(row, (CONTINUATIONS[row], (8,), (9,)), each_token=True) for row in range(6)]
    whole = told(feeder, asked, 6)
    parts = []
    read = answers._read
    monkeypatch.setattr(answers, "_read", lambda *given: parts.append(given) or read(*given))
    monkeypatch.setattr(answers, "MOST_VALUES", 1)  # a row is a part
    assert told(feeder, asked, 6) == whole
    assert len(parts) == 3 * len(asked)
    assert all(len(logits) == 1 for logits, _ in parts)


@pytest.mark.parametrize(
    ("sizes", "parts"),
    [
        ([5], [(0, 1)]),
        ([4, 6, 1], [(0, 2), (2, 3)]),
        ([11, 3, 8], [(0, 1), (1, 2), (2, 3)]),
        ([1] * 10, [(0, 10)]),
    ],
)
def test_parts_hold_as_many_values_as_allowed_or_a_single_row(sizes, parts, monkeypatch):
    monkeypatch.setattr(answers, "MOST_VALUES", 10)
    assert list(answers._parts(sizes)) == parts
