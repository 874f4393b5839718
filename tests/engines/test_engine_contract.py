"""What every engine must honour: the fake engine, and the others with a tiny model of each family."""

import math
import os
import sys
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from modeltest.api import (
    Capability,
    ChatPrompt,
    Completion,
    Demanding,
    Engine,
    Finish,
    ModelInfo,
    Request,
    Reusable,
    RunSpec,
    TextPrompt,
    TokenPrompt,
    Turn,
    WritingFiles,
)
from modeltest.plain.contracts import from_plain, to_plain
from modeltest.registry import load_engine

FAMILIES = ("gpt2", "gpt_neox", "gemma", "llama", "qwen2", "internlm2")
STAND_IN = {"stand_in": "yes", "record": "times+ids+logits"}
MINDIE = ("mindie_pa-llama", "mindie_pa-gpt2", "mindie_fa-llama")
"""On the stand-in of tests/ascend, in float16; MindIE loads nothing wider."""


def _text(question: str) -> TextPrompt:
    return TextPrompt("", (), question)


def _started(name: str, family: str, weights: str, scratch: Path) -> tuple[Engine, RunSpec]:
    dtype = "float16" if name.startswith("mindie") else "float32"
    spec = RunSpec(
        engine="hf_fp32" if name == "hf" else name,
        mode="test",
        task="test",
        model=family,
        weights=weights,
        dtype=dtype,
        trust_remote_code=family == "internlm2",
        output_dir=str(scratch),
        engine_options=STAND_IN if name.startswith("mindie") else {},
    )
    context = 512 if name.startswith("mindie") else 8192  # a warm-up prefills as many tokens as fit
    info = ModelInfo(family, family, weights, family, dtype, None, context, 128, 1, None)
    engine = load_engine(name)
    if isinstance(engine, Demanding) and (reason := engine.obstacle(spec)):
        pytest.skip(f"{name}: {reason}")
    engine.check(spec, info)
    variables = dict(engine.environment(spec, info))
    if isinstance(engine, WritingFiles):
        variables |= engine.file_environment(spec, scratch)
        os.environ.update(variables)
        sys.path[:0] = variables["PYTHONPATH"].split(os.pathsep)
    engine.info, engine.asked = engine.load(spec, info), (spec, info)
    return engine, spec


@pytest.fixture(
    scope="module",
    params=["fake", *(f"{name}-{family}" for name in ("hf", "hf_paged") for family in FAMILIES), *MINDIE],
)
def engine(request, demo_model, tmp_path_factory):
    name, _, family = request.param.partition("-")
    dtype = ("float16",) if name.startswith("mindie") else ()
    weights = str(demo_model(family, *dtype)) if family else "none"
    with _forgotten_afterwards():
        started, _ = _started(name, family, weights, tmp_path_factory.mktemp("engine"))
        yield started
        started.close()


@contextmanager
def _forgotten_afterwards():
    """Let nobody else see the variables, paths and modules of an engine's library."""
    variables, paths, modules = dict(os.environ), list(sys.path), set(sys.modules)
    yield
    os.environ.clear()
    os.environ.update(variables)
    sys.path[:] = paths
    for name in set(sys.modules) - modules:
        if name.partition(".")[0] in ("examples", "atb_llm"):
            del sys.modules[name]


def _complete(engine: Engine, requests: list[Request], batch_size: int = 3) -> dict[str, Completion]:
    completions = [
        completion for batch in engine.complete(iter(requests), batch_size=batch_size) for completion in batch
    ]
    assert len(completions) == len(requests)
    return {completion.request_id: completion for completion in completions}


CHOICES = [
    Request(f"c{i}", _text("The sea is salt. " * i + "Is it?\nAnswer:"), choices=(" yes", " no"))
    for i in range(1, 8)
]
GENERATIONS = [
    Request(f"g{i}", _text("The sea is salt. " * i + "Why?\nAnswer:"), max_new_tokens=4) for i in range(1, 8)
]
TIMED = [
    Request(f"t{i}", TokenPrompt(tuple(range(40 + i, 56 + i))), max_new_tokens=6, ignore_eos=True)
    for i in range(3)
]


def test_it_says_what_it_is(engine):
    info = engine.info
    assert info.engine == engine.name
    assert info.vocabulary_size > 0
    assert all(0 <= token < info.vocabulary_size for token in info.special_token_ids)
    assert from_plain(type(info), to_plain(info)) == info


def test_every_request_is_answered_once_whatever_the_batch_size(engine):
    requests = (CHOICES if Capability.CHOICE_LOGPROBS in engine.capabilities else []) + GENERATIONS
    for batch_size in (1, 3, 100):
        completions = _complete(engine, requests, batch_size)
        assert set(completions) == {request.id for request in requests}
        assert not any(completion.error for completion in completions.values())


def test_batches_hold_at_most_the_batch_size(engine):
    for batch in engine.complete(iter(CHOICES), batch_size=3):
        assert len(batch) <= 3


def test_each_choice_has_one_log_probability(engine):
    if Capability.CHOICE_LOGPROBS not in engine.capabilities:
        pytest.skip("the engine does not claim it")
    for completion in _complete(engine, CHOICES).values():
        assert len(completion.choice_logprobs) == 2
        assert all(math.isfinite(value) and value < 0 for value in completion.choice_logprobs)
        assert completion.prompt_tokens


def test_generation_keeps_its_limit_and_says_why_it_ended(engine):
    for completion in _complete(engine, GENERATIONS).values():
        assert 0 < len(completion.output_tokens) <= 4
        assert completion.text is not None
        assert completion.finish is (Finish.LENGTH if len(completion.output_tokens) == 4 else Finish.STOP)


def test_a_timed_batch_is_one_batch_with_a_growing_time_for_every_token(engine):
    if Capability.TOKEN_TIMES not in engine.capabilities:
        pytest.skip("the engine does not claim it")
    batches = list(engine.complete(iter(TIMED), batch_size=3))
    assert len(batches) == 1
    for completion in batches[0]:
        times = completion.token_times_ns
        assert len(completion.output_tokens) == len(times) == 6
        assert times[0] > 0
        assert list(times) == sorted(times)


def test_a_batch_of_which_only_the_end_is_timed_gives_the_same_tokens_and_one_time(engine):
    if not engine.info.times_end_alone:
        pytest.skip("the engine does not claim it")
    (timed,) = engine.complete(iter(TIMED), batch_size=3)
    requests = [replace(request, only_end_timed=True) for request in TIMED]
    (bare,) = engine.complete(iter(requests), batch_size=3)
    assert {one.request_id: one.output_tokens for one in bare} == {
        one.request_id: one.output_tokens for one in timed
    }
    assert all(one.end_ns > 0 and one.token_times_ns == () for one in bare)
    assert all(one.end_ns is None for one in timed)


def test_ignoring_the_end_of_text_gives_exactly_the_tokens_asked_for(engine):
    if Capability.IGNORE_EOS not in engine.capabilities:
        pytest.skip("the engine does not claim it")
    requests = [replace(request, max_new_tokens=40) for request in TIMED]
    for completion in _complete(engine, requests).values():
        assert len(completion.output_tokens) == 40
        assert completion.finish is Finish.LENGTH


def test_ignoring_the_end_of_text_once_does_not_last(engine):
    before = _complete(engine, GENERATIONS)
    _complete(engine, TIMED)
    assert {key: value.text for key, value in _complete(engine, GENERATIONS).items()} == {
        key: value.text for key, value in before.items()
    }


def test_equal_requests_get_equal_answers(engine):
    first, second = _complete(engine, CHOICES), _complete(engine, CHOICES)
    assert {k: v.choice_logprobs for k, v in first.items()} == {
        k: v.choice_logprobs for k, v in second.items()
    }


def test_a_chat_is_completed(engine):
    turns = (Turn("user", "Is the sea salt?"),)
    request = Request("chat", ChatPrompt((Turn("system", "Be brief."),), (), turns), max_new_tokens=3)
    assert _complete(engine, [request])["chat"].error is None


def test_no_request_gives_no_batch(engine):
    assert list(engine.complete(iter([]), batch_size=4)) == []


def test_a_request_that_cannot_be_completed_fails_alone(engine):
    if engine.name == "fake":
        pytest.skip("the fake engine fails by option: tests/engines/test_fake.py")
    impossible = Request("long", _text("x"), max_new_tokens=engine.info.context_tokens + 10)
    completions = _complete(engine, [impossible, *GENERATIONS])
    assert "no room" in completions["long"].error
    assert all(completions[request.id].error is None for request in GENERATIONS)


def test_a_timed_prompt_is_computed_whole_however_often_it_is_asked(engine):
    if Capability.IGNORE_EOS not in engine.capabilities or engine.usage().computed_tokens is None:
        pytest.skip("the engine times nothing or does not count")
    requests = [replace(TIMED[0], id=f"same{row}", max_new_tokens=2) for row in range(2)]
    before = engine.usage()
    for _ in range(2):
        _complete(engine, requests)
    after = engine.usage()
    prompt_and_step = 16 + 1
    assert after.computed_tokens - before.computed_tokens >= 2 * 2 * prompt_and_step
    assert after.reused_tokens == before.reused_tokens


def test_prefill_limits_are_claimed_by_the_runner_that_honours_them_alone(engine):
    assert (Capability.PREFILL_LIMITS in engine.capabilities) == (engine.name == "mindie_pa")


def test_an_engine_that_can_begin_anew_answers_as_before(engine):
    if not isinstance(engine, Reusable):
        pytest.skip(f"{engine.name} serves one run only")
    timed = Request("t", TokenPrompt((5, 6, 7)), 3, ignore_eos=True)
    asked = [Request("c", _text("Is it so?"), choices=("yes", "no")), Request("g", _text("One, two,"), 4)]

    def answers():
        batches = [batch for each in (asked, [timed]) for batch in engine.complete(each, batch_size=2)]
        rows = sorted((row for batch in batches for row in batch), key=lambda row: row.request_id)
        return [(row.output_tokens, row.choice_tokens, row.choice_logprobs) for row in rows]

    first, counted = answers(), engine.usage().forward_calls
    info = engine.begin(*engine.asked)
    measured = {"load_s": None, "memory_limit_bytes": None}
    assert replace(info, **measured) == replace(engine.info, **measured)
    assert answers() == first
    if counted is not None:
        assert engine.usage().forward_calls > counted, "counts go on"
