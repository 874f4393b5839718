"""Answers of mindie_pa on the stand-in where memory, chips or the family of the model set limits."""

from dataclasses import replace

import calls
import pytest
from mindie_place import place_of
from processes import Raised

from modeltest.api import Finish, Request, TextPrompt, TokenPrompt

CHOICES = [
    Request(f"c{i}", TextPrompt("", (), "The sea is salt. " * i + "Is it?"), choices=(" yes", " no"))
    for i in range(1, 3)
]
GENERATIONS = [
    Request(f"g{i}", TextPrompt("", (), "The sea is salt. " * i + "Why?"), max_new_tokens=6)
    for i in range(1, 3)
]


def test_what_ends_a_turn_for_the_family_ends_an_answer_in_conversations_alone(stand_in):
    from transformers import AutoTokenizer

    ((plain, *_),), _, _ = _values(stand_in.call(calls.complete, [GENERATIONS], 2))
    said = plain.output_tokens
    assert len(said) == 6
    turn_end = AutoTokenizer.from_pretrained(stand_in.model.path).convert_ids_to_tokens(said[2])
    model = replace(stand_in.model, end_of_turn=(turn_end, "<|nobody_knows|>"))
    for chat, expected in ((False, said), (True, said[: said.index(said[2]) + 1])):
        place = replace(stand_in, model=model, spec=replace(stand_in.spec, chat=chat))
        ((found, *_),), info, _ = _values(place.call(calls.complete, [GENERATIONS], 2))
        assert found.output_tokens == expected
        assert found.finish is (Finish.STOP if chat else Finish.LENGTH)
        assert (said[2] in info.special_token_ids) is chat


def test_logits_are_saved_of_choices_alone(stand_in):
    left = stand_in.call(calls.logits_left, [GENERATIONS, CHOICES, GENERATIONS], 2)
    assert left == [[], ["logits_0.pth"], []]


def test_a_prompt_too_long_for_the_memory_fails_alone(stand_in):
    lengths = {"a": 12, "too long": 50, "b": 14, "longer": 52, "c": 13}
    requests = [
        Request(name, TokenPrompt(tuple(range(40, 40 + length))), max_new_tokens=3)
        for name, length in lengths.items()
    ]
    fitting = [request for request in requests if lengths[request.id] < 40]
    (expected,), _, _ = stand_in.call(calls.complete, [fitting], 2)
    (done,), _, usage = stand_in.call(calls.complete, [requests], 2, STAND_IN_MEMORY_TOKENS="40")
    assert {name for name, one in done.items() if one.error} == {"too long", "longer"}
    assert "out of memory, PARunner.warm_up for 1 rows of 50+3 tokens" in done["too long"].error
    for name, one in expected.items():
        assert done[name].output_tokens == one.output_tokens
    assert usage.split_batches > 0


def test_bfloat16_on_a_chip_without_it_ends_with_what_mindie_says(demo_model, scratch):
    place = place_of(str(demo_model("llama", "bfloat16")), scratch, {"stand_in": "yes"})
    with pytest.raises(Raised, match="NotImplementedError: bfloat16 is not supported") as raised:
        place.call(calls.complete, [GENERATIONS], 2, STAND_IN_SOC="310P")
    assert raised.value.name == "EngineError"


def _values(outcome):
    done, info, usage = outcome
    return [tuple(batch.values()) for batch in done], info, usage
