from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engines.mindie.sizes import RunnerSize, first_size, prefill_groups
from modeltest.api import Case, EngineError, GenerationOptions, ModelInfo, RunSpec, TaskOptions

MODEL = ModelInfo("llama", "llama", "w", "llama", "float16", None, 2048, 128, 1, None)
SPEC = RunSpec(engine="pa_fp16", mode="full_BoolQ", task="boolq", model="llama", weights="w")


def test_prefills_are_filled_in_order_by_rows_and_by_tokens():
    assert prefill_groups([10, 10, 10], rows=8, tokens=100) == [3]
    assert prefill_groups([10, 10, 10], rows=2, tokens=100) == [2, 1]
    assert prefill_groups([60, 50, 40, 10], rows=8, tokens=100) == [1, 3]
    assert prefill_groups([], rows=8, tokens=100) == []


def test_a_prompt_longer_than_a_prefill_is_refused():
    with pytest.raises(EngineError, match="a prompt of 101 tokens is longer than a prefill of 100"):
        prefill_groups([5, 101], rows=8, tokens=100)


@given(st.lists(st.integers(1, 50), max_size=40), st.integers(1, 8), st.integers(50, 200))
def test_no_prefill_is_too_full_and_none_could_take_the_next_request(lengths, rows, tokens):
    groups = prefill_groups(lengths, rows=rows, tokens=tokens)
    assert sum(groups) == len(lengths)
    begin = 0
    for group in groups:
        inside = lengths[begin : begin + group]
        begin += group
        assert 0 < group <= rows
        assert sum(inside) <= tokens
        if begin < len(lengths):
            assert group == rows or sum(inside) + lengths[begin] > tokens


def test_the_first_runner_of_a_timed_run_is_of_its_first_case():
    spec = replace(SPEC, cases=(Case(256, 64), Case(512, 8)), batch_sizes=((4, 8),))
    assert first_size(spec, MODEL) == RunnerSize(256, 64, 4)


def test_the_first_runner_for_questions_is_the_predecessor_s_within_the_context():
    spec = replace(SPEC, batch_sizes=((8,),))
    assert first_size(spec, MODEL) == RunnerSize(2048, 512, 8)
    longer = replace(MODEL, max_position_embeddings=8192)
    assert first_size(spec, longer) == RunnerSize(3072, 512, 8)


def test_a_size_holds_what_is_smaller_in_every_way():
    size = RunnerSize(100, 10, 4)
    assert size.holds(RunnerSize(100, 10, 4))
    assert not size.holds(RunnerSize(101, 1, 1))
    assert not size.holds(RunnerSize(1, 11, 1))
    assert not size.holds(RunnerSize(1, 1, 5))
    assert size.joined(RunnerSize(50, 20, 5)) == RunnerSize(100, 20, 5)
    assert str(size) == "4 rows of 100+10 tokens"


def test_the_first_runner_for_prompts_of_one_s_own_has_room_for_the_answers_asked_for():
    asked = TaskOptions(generation=GenerationOptions(max_new_tokens=1500, input_texts=("a",)))
    spec = replace(SPEC, batch_sizes=((2,),), options=asked)
    longer = replace(MODEL, max_position_embeddings=8192)
    assert first_size(spec, longer) == RunnerSize(3072, 1500, 2)
    assert first_size(replace(spec, max_position_embeddings=1000), longer) == RunnerSize(1000, 1000, 2)
