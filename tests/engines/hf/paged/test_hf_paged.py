"""The `hf_paged` engine against the `hf` engine: the same answers, whatever runs together."""

import gc
import re
import weakref
from dataclasses import replace
from pathlib import Path

import pytest
import torch

import engines
from engines.hf.engine import HFEngine
from engines.hf.paged.continuous_batching import SUPPORTED_VERSIONS, obstacle
from engines.hf.paged.engine import HFPagedEngine
from modeltest.api import (
    ChoiceRule,
    EngineError,
    Finish,
    ModelInfo,
    OutOfMemory,
    PrerequisiteError,
    Request,
    RunSpec,
    SpecError,
    TextPrompt,
    TokenPrompt,
)

pytestmark = pytest.mark.skipif(obstacle() is not None, reason=f"hf_paged: {obstacle()}")

FAMILIES = ("gpt2", "gpt_neox", "gemma", "llama", "qwen2", "internlm2")
TOLERANCE = 1e-5
BLOCK_TOKENS = 16


def _spec(weights: object, **changes: object) -> RunSpec:
    spec = RunSpec(
        engine="pa_fp16",
        mode="test",
        task="test",
        model="m",
        weights=str(weights),
        dtype="float32",
        device="cpu",
        trust_remote_code=True,
    )
    return replace(spec, **changes)


def _info(weights: object, **changes: object) -> ModelInfo:
    info = ModelInfo("m", "m", str(weights), "m", "float32", None, 8192, BLOCK_TOKENS, 1, None)
    return replace(info, **changes)


def _loaded(kind, directory, **changes):
    engine = kind()
    engine.info = engine.load(_spec(directory, **changes), _info(directory))
    return engine


@pytest.fixture(scope="module", params=FAMILIES)
def both(request, demo_model):
    directory = demo_model(request.param)
    return _loaded(HFEngine, directory), _loaded(HFPagedEngine, directory)


@pytest.fixture(scope="module")
def llama(demo_model):
    return _loaded(HFPagedEngine, demo_model("llama"))


@pytest.fixture
def fresh(demo_model):
    return _loaded(HFPagedEngine, demo_model("llama"))


def _prompts() -> list[str]:
    same = ["The sea is salt. " * i + f"题 {i}: is it?\nAnswer:" for i in (9, 1, 4, 2, 7)]
    return same + [prompt.replace("sea", "lake") for prompt in same]


def _one(engine, requests, batch_size) -> dict:
    return {c.request_id: c for batch in engine.complete(requests, batch_size=batch_size) for c in batch}


def _requests(**values) -> list[Request]:
    return [Request(str(i), TextPrompt("", (), p), **values) for i, p in enumerate(_prompts())]


@pytest.mark.parametrize("batch_size", [1, 3, 8])
@pytest.mark.parametrize("choices", [(" A", " B"), (" yes indeed it is", " no", " 也许是")])
def test_choice_log_probabilities_are_those_of_hf(both, choices, batch_size):
    hf, paged = both
    expected = _one(hf, _requests(choices=choices), 4)
    for name, completion in _one(paged, _requests(choices=choices), batch_size).items():
        assert completion.choice_logprobs == pytest.approx(expected[name].choice_logprobs, abs=TOLERANCE)
        assert completion.choice_is_greedy == expected[name].choice_is_greedy
        assert completion.choice_tokens == expected[name].choice_tokens


@pytest.mark.parametrize("batch_size", [1, 3, 8])
@pytest.mark.parametrize(
    "values", [{"max_new_tokens": 20}, {"max_new_tokens": 20, "first_character_only": True}]
)
def test_generations_are_those_of_hf(both, values, batch_size):
    hf, paged = both
    expected = _one(hf, _requests(**values), 4)
    for name, completion in _one(paged, _requests(**values), batch_size).items():
        assert replace(completion, token_times_ns=()) == replace(expected[name], token_times_ns=())


def test_the_last_token_rule_is_that_of_hf(both):
    hf, paged = both
    values = {"choices": (" yes", " so no"), "choice_rule": ChoiceRule.LAST_TOKEN}
    expected = _one(hf, _requests(**values), 4)
    for name, completion in _one(paged, _requests(**values), 4).items():
        assert completion.choice_logprobs == pytest.approx(expected[name].choice_logprobs, abs=TOLERANCE)


def test_timed_generations_are_those_of_hf_and_every_row_has_its_times(both):
    hf, paged = both
    requests = [
        Request(str(i), TokenPrompt(tuple(range(40 + i, 80 + i * 9))), max_new_tokens=6, ignore_eos=True)
        for i in range(3)
    ]
    expected = _one(hf, requests, 3)
    (batch,) = paged.complete(requests, batch_size=3)
    for completion in batch:
        assert completion.output_tokens == expected[completion.request_id].output_tokens
        assert completion.finish is Finish.LENGTH
        assert len(completion.token_times_ns) == 6
        assert completion.token_times_ns[0] > 0
        assert list(completion.token_times_ns) == sorted(completion.token_times_ns)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision_runs_on_the_cpu_too(demo_model, dtype):
    engine = _loaded(HFPagedEngine, demo_model("qwen2"), dtype=dtype)
    assert engine.info.dtype == dtype
    completions = _one(engine, _requests(choices=(" A", " B")), 3)
    assert all(value < 0 for completion in completions.values() for value in completion.choice_logprobs)


def test_a_sliding_window_is_kept_as_hf_keeps_it(demo_model, tmp_path):
    import json
    import shutil

    directory = tmp_path / "sliding"
    shutil.copytree(demo_model("qwen2"), directory)
    config = json.loads((directory / "config.json").read_text())
    config |= {"use_sliding_window": True, "sliding_window": 24, "max_window_layers": 1}
    (directory / "config.json").write_text(json.dumps(config))
    hf, paged = _loaded(HFEngine, directory), _loaded(HFPagedEngine, directory)
    assert set(paged._loaded.model.config.layer_types) == {"full_attention", "sliding_attention"}
    for values in ({"choices": (" yes indeed", " no")}, {"max_new_tokens": 30}):
        expected = _one(hf, _requests(**values), 4)
        for name, completion in _one(paged, _requests(**values), 3).items():
            assert completion.output_tokens == expected[name].output_tokens
            assert completion.choice_logprobs == pytest.approx(expected[name].choice_logprobs, abs=TOLERANCE)


def test_a_prompt_longer_than_a_step_is_fed_in_several(fresh):
    expected = _one(fresh, _requests(choices=(" yes indeed", " no")), 3)
    steps = fresh.usage().forward_calls
    fresh._answers.paged.step_tokens = 7
    chunked = _one(fresh, _requests(choices=(" yes indeed", " no")), 3)
    assert fresh.usage().forward_calls > 2 * steps
    for name, completion in chunked.items():
        assert completion.choice_logprobs == pytest.approx(expected[name].choice_logprobs, abs=TOLERANCE)


def test_a_stop_text_ends_the_generation_and_is_left_out(llama):
    prompt = TextPrompt("", (), "The sea")
    free = _one(llama, [Request("r", prompt, max_new_tokens=12)], 1)["r"]
    stop = free.text[len(free.text) // 2 :][:2]
    held = _one(llama, [Request("r", prompt, max_new_tokens=12, stop=(stop,))], 1)["r"]
    assert held.text == free.text.split(stop)[0]
    assert held.finish is Finish.STOP
    assert len(held.output_tokens) <= len(free.output_tokens)


def test_end_of_text_ends_a_generation_unless_it_is_ignored(fresh):
    request = Request("r", TokenPrompt((60, 61, 62)), max_new_tokens=8)
    free = _one(fresh, [request], 1)["r"]
    third = free.output_tokens[2]
    fresh._answers.loaded = replace(fresh._loaded, eos_token_ids=frozenset({third}))
    ended = _one(fresh, [request], 1)["r"]
    whole = _one(fresh, [replace(request, ignore_eos=True)], 1)["r"]
    assert ended.output_tokens == free.output_tokens[: free.output_tokens.index(third) + 1]
    assert ended.finish is Finish.STOP
    assert whole.output_tokens == free.output_tokens


@pytest.mark.parametrize("ignore_eos", [False, True])
def test_a_model_that_says_nan_fails_instead_of_answering(fresh, ignore_eos):
    with torch.no_grad():
        fresh._loaded.model.model.norm.weight.fill_(float("nan"))
    requests = [
        Request(str(i), TokenPrompt((60, 61 + i)), max_new_tokens=3, ignore_eos=ignore_eos) for i in range(2)
    ]
    for completion in _one(fresh, requests, 2).values():
        assert completion.error == "the model's logits are not numbers (NaN)"


def _alike(count: int = 4, shared: int = 5 * BLOCK_TOKENS, **values) -> list[Request]:
    """Requests whose prompts begin alike and end in three tokens of their own."""
    shots = tuple(range(20, 20 + shared))
    return [Request(str(i), TokenPrompt((*shots, 300 + i, 301, 302)), **values) for i in range(count)]


def test_blocks_of_a_common_prefix_are_computed_once(fresh):
    _one(fresh, _alike(choices=((5,), (6,))), 4)
    usage = fresh.usage()
    assert usage.computed_tokens == 5 * BLOCK_TOKENS + 4 * 3
    assert usage.reused_tokens == 3 * 5 * BLOCK_TOKENS
    assert usage.forward_calls == 2  # the first row alone, then those that waited for its prefix
    assert usage.forward_s > 0
    assert usage.padding_tokens == usage.split_batches == 0


def test_a_block_that_is_read_is_never_shared(fresh):
    """Equal rows whose continuations fill whole blocks: each must still be read from its first token on."""
    prompt, choice = tuple(range(20, 20 + BLOCK_TOKENS)), tuple(range(200, 200 + 3 * BLOCK_TOKENS))
    requests = [Request(str(i), TokenPrompt(prompt), choices=(choice, (*choice, 7))) for i in range(3)]
    values = {c.choice_logprobs for c in _one(fresh, requests, 2).values()}
    assert len({tuple(round(value, 3) for value in each) for each in values}) == 1
    assert all(longer < shorter < -1 for shorter, longer in values)


def test_a_timed_batch_shares_nothing_and_is_prefilled_in_one_step(fresh):
    requests = _alike(max_new_tokens=3, ignore_eos=True)
    for _ in range(2):
        before = fresh.usage()
        _one(fresh, requests, 4)
        after = fresh.usage()
        assert after.computed_tokens - before.computed_tokens == 4 * (5 * BLOCK_TOKENS + 3) + 4 * 2
        assert after.forward_calls - before.forward_calls == 3
        assert after.reused_tokens == 0


def test_the_cache_is_as_large_as_the_work(fresh):
    loop, config = fresh._answers.paged.loop, fresh._loaded.model.config
    bytes_per_block = 2 * config.num_hidden_layers * config.num_key_value_heads * config.head_dim * 4
    bytes_per_block *= BLOCK_TOKENS
    rows = [
        Request(str(i), TokenPrompt(tuple(range(20, 60))), max_new_tokens=9, ignore_eos=True)
        for i in range(3)
    ]
    _one(fresh, rows, 3)
    # 40 + 9 - 1 tokens are fed, which are 3 blocks; 2 more than needed for whatever padding reads and writes.
    assert loop.cache_bytes == (3 * 3 + 2) * bytes_per_block
    _one(fresh, rows[:1], 1)
    assert loop.cache_bytes == (3 + 2) * bytes_per_block


def test_prefixes_that_nobody_needs_make_room(fresh):
    """Many more different prompts than the cache has blocks for, none of which shares anything."""
    requests = [
        Request(str(i), TokenPrompt(tuple((7 * i + j) % 900 + 20 for j in range(40))), choices=((5,), (6,)))
        for i in range(60)
    ]
    alone = _one(fresh, requests, 1)
    for name, completion in _one(fresh, requests, 5).items():
        assert completion.choice_logprobs == pytest.approx(alone[name].choice_logprobs, abs=TOLERANCE)


def _full(*_: object, **__: object) -> None:
    raise RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried 9 bytes")


def test_memory_that_runs_out_is_told_and_the_engine_lives_on(llama, monkeypatch):
    timed = Request("t", TokenPrompt((60, 61)), max_new_tokens=2, ignore_eos=True)
    asked = Request("a", TokenPrompt((60, 61)), max_new_tokens=2)
    with monkeypatch.context() as patch:
        patch.setattr(llama._loaded.model, "forward", _full)
        with pytest.raises(OutOfMemory, match="1 rows of up to 2 prompt tokens"):
            _one(llama, [timed], 1)
        assert "out of memory" in _one(llama, [asked], 1)["a"].error
    assert _one(llama, [timed], 1)["t"].error is None
    assert _one(llama, [asked], 1)["a"].error is None


def test_a_batch_that_does_not_fit_is_run_in_halves(fresh, monkeypatch):
    """Memory for 30 tokens a step: all are answered but the one prompt that is longer."""
    prompts = [tuple(range(20 + i, 40 + i)) for i in range(6)]
    expected = _one(
        fresh, [Request(str(i), TokenPrompt(p), max_new_tokens=4) for i, p in enumerate(prompts)], 6
    )
    logits = fresh._answers.paged.loop._logits

    def small(positions, **arguments):
        return _full() if arguments["input_ids"].numel() > 30 else logits(positions, **arguments)

    monkeypatch.setattr(fresh._answers.paged.loop, "_logits", small)
    requests = [
        *(Request(str(i), TokenPrompt(p), max_new_tokens=4) for i, p in enumerate(prompts)),
        Request("long", TokenPrompt(tuple(range(500, 540))), max_new_tokens=4),
    ]
    completions = _one(fresh, requests, 6)
    assert "out of memory" in completions.pop("long").error
    assert {name: c.output_tokens for name, c in completions.items()} == {
        name: c.output_tokens for name, c in expected.items()
    }
    assert fresh.usage().split_batches > 1


def test_a_cache_larger_than_all_memory_is_out_of_memory(llama, monkeypatch):
    memory = "transformers.generation.continuous_batching.cache.get_device_and_memory_breakdown"
    with monkeypatch.context() as patch:
        patch.setattr(memory, lambda: (torch.device("cpu"), 1000, 0, 0))
        timed = Request("t", TokenPrompt(tuple(range(20, 77))), max_new_tokens=2, ignore_eos=True)
        with pytest.raises(OutOfMemory, match="1 rows of up to 57 prompt tokens"):
            _one(llama, [timed], 1)
    assert _one(llama, [timed], 1)["t"].error is None


def test_another_failure_of_the_model_is_raised_not_waited_for(llama, monkeypatch):
    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("shapes do not match")

    request = Request("r", TokenPrompt((60, 61)), max_new_tokens=2)
    with monkeypatch.context() as patch:
        patch.setattr(llama._loaded.model, "forward", broken)
        with pytest.raises(RuntimeError, match="shapes"):
            _one(llama, [request], 1)
    assert _one(llama, [request], 1)["r"].error is None


def test_answers_that_are_left_unread_do_no_harm(llama):
    expected = _one(llama, _requests(max_new_tokens=5), 3)
    next(iter(llama.complete(_requests(max_new_tokens=5), batch_size=3)))
    again = _one(llama, _requests(max_new_tokens=5), 3)
    assert {k: v.output_tokens for k, v in again.items()} == {k: v.output_tokens for k, v in expected.items()}


def test_what_is_used_is_noted(llama):
    (note,) = llama.info.notes
    assert note.startswith(f"paged KV cache: blocks of {BLOCK_TOKENS} tokens")
    assert (
        f"at most {llama._answers.paged.step_tokens} tokens a step, of a timed batch the whole prefill"
        in note
    )


@pytest.mark.parametrize(
    ("spec", "model", "error"),
    [
        ({"world_size": 8}, {}, "engine hf_paged runs on one device"),
        ({}, {"quantize": "w8a8"}, "engine hf_paged cannot run w8a8"),
        ({"kw_args": '{"encrypt_enable": 1}'}, {}, "engine hf_paged does not take encryption"),
        ({"engine_options": {"a": "b"}}, {}, "engine hf_paged has no options; given: a"),
    ],
)
def test_what_it_cannot_run_is_refused_before_loading(spec, model, error):
    with pytest.raises((PrerequisiteError, SpecError), match=error):
        HFPagedEngine().check(_spec("w", **spec), _info("w", **model))


@pytest.mark.parametrize("version", ["5.18.1", "5.24.0", "4.46.3"])
def test_another_version_of_transformers_is_refused_with_what_serves_instead(monkeypatch, version):
    monkeypatch.setattr("importlib.metadata.version", lambda _: version)
    assert HFPagedEngine().obstacle() == (
        f"it needs transformers {' or '.join(SUPPORTED_VERSIONS)}, and {version} is installed"
    )
    with pytest.raises(PrerequisiteError, match=f"{version} is installed; use an hf word"):
        HFPagedEngine().check(_spec("w"), _info("w"))


def test_the_private_parts_of_transformers_are_touched_in_one_module_only():
    touching = {
        path.name
        for path in Path(engines.__file__).parent.rglob("*.py")
        if re.search(r"(from|import) transformers\.generation", path.read_text(encoding="utf-8"))
    }
    assert touching == {"continuous_batching.py"}


def test_a_model_whose_answers_would_differ_is_refused_when_it_is_loaded(demo_model, monkeypatch):
    directory = demo_model("llama")
    from engines.hf.paged import loop as paged_loop

    attend_rows = paged_loop.attend_rows
    monkeypatch.setattr(
        paged_loop,
        "attend_rows",
        lambda *states, scale, **more: attend_rows(*states, scale=2 * scale, **more),
    )
    with pytest.raises(PrerequisiteError, match=r"it differs from a plain pass by .*; use an hf word"):
        HFPagedEngine().load(_spec(directory), _info(directory))


def test_a_model_with_an_unknown_option_of_attention_is_refused_when_it_is_loaded(demo_model, monkeypatch):
    from transformers.models.llama.modeling_llama import LlamaAttention

    directory = demo_model("llama")
    forward = LlamaAttention.forward
    monkeypatch.setattr(LlamaAttention, "forward", lambda self, *a, **k: forward(self, *a, **k, s_aux=1.0))
    with pytest.raises(PrerequisiteError, match="attention takes s_aux"):
        HFPagedEngine().load(_spec(directory), _info(directory))


def test_asking_before_loading_is_an_error():
    with pytest.raises(EngineError, match="engine hf_paged is asked before it has loaded"):
        list(HFPagedEngine().complete([], batch_size=1))
    assert HFPagedEngine().usage().forward_calls is None


def test_a_cache_is_freed_at_once(fresh):
    loop = fresh._answers.paged.loop
    _one(fresh, _requests(choices=(" A", " B")), 3)
    assert loop.cache_bytes > 0
    cache = weakref.ref(loop._batching._cache)
    gc.disable()
    try:
        loop.drop()
        assert cache() is None
    finally:
        gc.enable()
    fresh.close()
    assert loop.cache_bytes == 0
