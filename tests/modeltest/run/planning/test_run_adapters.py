"""LoRA adapters on the requests of a run."""

from dataclasses import replace

import pytest

from modeltest.api import PrerequisiteError, Request, RunSpec, SpecError, TaskData, TokenPrompt, Trial
from modeltest.registry import load_engine, load_task
from modeltest.run.planning.lora import (
    adapters_of,
    asked_requests,
    check_adapters,
    check_numbers,
    with_adapters,
)
from modeltest.run.record.identity import prompt_digest, request_digest

SPEC = RunSpec(engine="pa_fp16", mode="full_BoolQ", task="boolq", model="m", weights="w")
REQUESTS = [Request(f"r{row}", TokenPrompt((row,))) for row in range(3)]


class Task:
    """Asks three requests."""

    def requests(self, data, spec):
        return iter(REQUESTS)


@pytest.fixture
def spec(tmp_path):
    (tmp_path / "lora.jsonl").write_text('{"1": "law", "0": "base"}\n')
    return replace(SPEC, lora=str(tmp_path / "lora.jsonl"))


def test_requests_are_numbered_in_the_order_of_the_dataset(spec):
    asked = list(asked_requests(Task(), TaskData((), {}, {}), spec, adapters_of(spec)))
    assert [request.adapter for request in asked] == [None, "law", None]
    assert [request.id for request in asked] == ["r0", "r1", "r2"]


def test_rows_of_a_timed_batch_are_numbered_in_the_batch(spec):
    trial = Trial(0, 3, 0, "measure", tuple(REQUESTS))
    assert [one.adapter for one in with_adapters(trial, adapters_of(spec)).requests] == [None, "law", None]
    assert with_adapters(trial, {}) is trial


def test_an_adapter_for_a_request_that_is_not_asked_is_refused(spec):
    check_numbers(spec, REQUESTS)
    with pytest.raises(SpecError, match=r"gives request 1 an adapter; this run asks 1, counted from 0"):
        check_numbers(spec, REQUESTS[:1])
    check_numbers(SPEC, ())


def test_an_answer_of_another_adapter_is_an_answer_to_something_else():
    plain, adapted = REQUESTS[0], replace(REQUESTS[0], adapter="law")
    assert request_digest(plain) == prompt_digest(plain.prompt)
    assert (
        len({request_digest(plain), request_digest(adapted), request_digest(replace(plain, adapter="x"))})
        == 3
    )


def test_lora_is_refused_where_nothing_honours_it(spec):
    check_adapters(spec, load_task("boolq"), load_engine("mindie_pa"))
    with pytest.raises(PrerequisiteError, match="engine 'hf' does not take the word lora; leave it out"):
        check_adapters(spec, load_task("boolq"), load_engine("hf"))
    with pytest.raises(PrerequisiteError, match="asks its own questions, which have no adapters"):
        check_adapters(replace(spec, mode="lm_eval"), load_task("lm_eval"), load_engine("mindie_pa"))
    with pytest.raises(SpecError, match="cannot be read"):
        check_adapters(replace(spec, lora="nowhere"), load_task("boolq"), load_engine("mindie_pa"))
