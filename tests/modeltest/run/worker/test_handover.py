from dataclasses import replace

import pytest

from modeltest.api import (
    ClientUse,
    Completion,
    DeviceError,
    EngineError,
    EngineInfo,
    EngineUsage,
    ModelInfo,
    ModelTestError,
    Request,
    RunSpec,
    TokenPrompt,
)
from modeltest.run.worker import handover
from modeltest.run.worker.handover import SENTINEL_PROMPT_TOKENS, SHARED_NOTE, ServingEngine, usage_since
from modeltest.run.worker.recovery import ALLOWED_BYTES

SPEC = RunSpec(engine="e", mode="m", task="t", model="m", weights="w")
MODEL = ModelInfo("m", "m", "w", "", None, None, None, 128, 1, None)
INFO = EngineInfo("reusable", "npu", "none", 100, (0, 2), None, {}, load_s=3.0)


class Reusable:
    """Says the same tokens each time, in the same memory, unless told otherwise."""

    name = "reusable"

    def __init__(self):
        self.used, self.shift, self.calls, self.prompts, self.fails = 1 << 30, 0, 0, [], False

    def load(self, spec, model):
        return INFO

    def begin(self, spec, model):
        return replace(INFO, load_s=None)

    def complete(self, requests, *, batch_size):
        if self.fails:
            raise EngineError("nothing works any more")
        self.calls += 1
        for request in requests:
            self.prompts.append(request.prompt.ids)
            yield [Completion(request.id, output_tokens=tuple(range(self.shift, self.shift + 4)))]

    def peak_memory_bytes(self):
        return self.used

    def usage(self):
        return EngineUsage(forward_calls=self.calls, peak_memory_bytes=7)

    def close(self):
        pass


@pytest.fixture
def serving(monkeypatch):
    """Return an engine that is loaded and will be asked for more, and what serves it."""
    engine = Reusable()
    monkeypatch.setattr(handover.registry, "load_engine", lambda name: engine)
    found = ServingEngine(serves_more=True)
    found.engine("reusable")
    found.ready(SPEC, MODEL)
    return found, engine


def test_the_first_run_loads_and_is_told_how_long_that_took(serving):
    found, _ = serving
    assert found.is_loaded
    assert found.runs == 1


def test_a_further_run_is_told_that_it_did_not_load(serving):
    found, _ = serving
    info = found.ready(SPEC, MODEL)
    assert info.load_s is None
    assert info.notes == (SHARED_NOTE,)
    assert found.runs == 2


def test_the_prompt_that_is_asked_between_runs_has_no_special_tokens(serving):
    found, engine = serving
    found.ready(SPEC, MODEL)
    assert engine.prompts == [(1, 3, 4, 5, 6, 7, 8, 9)] * 2
    assert len(engine.prompts[0]) == SENTINEL_PROMPT_TOKENS


def test_usage_is_that_of_the_run_alone(serving):
    found, engine = serving
    list(engine.complete([Request("a", TokenPrompt((1,)), 1)], batch_size=1))
    assert found.usage().forward_calls == 1
    found.ready(SPEC, MODEL)
    assert found.usage().forward_calls == 0
    assert found.usage().peak_memory_bytes == 7, "peaks begin anew in the engine"


def test_an_engine_that_says_something_else_is_refused(serving):
    found, engine = serving
    engine.shift = 1
    with pytest.raises(DeviceError, match="gives other tokens than after loading"):
        found.ready(SPEC, MODEL)


def test_an_engine_that_says_nothing_any_more_is_refused(serving):
    found, engine = serving
    engine.fails = True
    with pytest.raises(DeviceError, match="nothing works any more"):
        found.ready(SPEC, MODEL)


def test_memory_that_is_not_free_again_is_refused(serving):
    found, engine = serving
    engine.used += ALLOWED_BYTES
    found.ready(SPEC, MODEL)
    engine.used += ALLOWED_BYTES
    with pytest.raises(DeviceError, match="the memory of the run before is not free again: 1152 MiB"):
        found.ready(SPEC, MODEL)


def test_one_engine_serves_one_name(serving):
    with pytest.raises(ModelTestError, match="has engine 'reusable' and is asked for 'hf'"):
        serving[0].engine("hf")


def test_a_worker_of_one_run_asks_nothing_of_its_own(monkeypatch):
    engine = Reusable()
    monkeypatch.setattr(handover.registry, "load_engine", lambda name: engine)
    found = ServingEngine(serves_more=False)
    found.engine("reusable")
    assert found.ready(SPEC, MODEL) is INFO
    assert engine.prompts == []


def test_what_is_unknown_stays_unknown():
    assert usage_since(EngineUsage(), EngineUsage(forward_calls=3)).forward_calls == 3
    assert usage_since(EngineUsage(forward_calls=1), EngineUsage()).forward_calls is None


def test_what_was_asked_of_a_server_is_counted_and_its_delays_are_not():
    before = EngineUsage(client=ClientUse(10, 1, prompt_tokens=5, send_lag_ms=9.0))
    now = EngineUsage(client=ClientUse(30, 1, prompt_tokens=9, completion_tokens=4, send_lag_ms=2.0))
    expected = ClientUse(20, 0, prompt_tokens=4, completion_tokens=4, send_lag_ms=2.0)
    assert usage_since(before, now).client == expected
    assert usage_since(EngineUsage(), now).client == now.client
