"""The `hf` engine against the plainest computation there is: one unpadded `model(ids)` at a time."""

import json
import shutil
from dataclasses import replace

import pytest
import torch

from engines.hf.engine import HFEngine
from engines.hf.packed.rows_in_flight import RowsInFlight
from modeltest.api import (
    ChoiceRule,
    EngineError,
    GenerationOptions,
    ModelInfo,
    OutOfMemory,
    PrerequisiteError,
    Request,
    RunSpec,
    Sampling,
    SpecError,
    TaskOptions,
    TextPrompt,
    TokenPrompt,
)

FAMILIES = ("gpt2", "gpt_neox", "gemma", "llama", "qwen2", "internlm2")
TOLERANCE = 1e-5


def _spec(weights: object, **changes: object) -> RunSpec:
    spec = RunSpec(
        engine="hf_fp32",
        mode="test",
        task="test",
        model="m",
        weights=str(weights),
        dtype="float32",
        trust_remote_code=True,
    )
    return replace(spec, **changes)


def _info(weights: object, **changes: object) -> ModelInfo:
    info = ModelInfo("m", "m", str(weights), "m", "float32", None, 8192, 128, 1, None)
    return replace(info, **changes)


@pytest.fixture(scope="module", params=FAMILIES)
def engine(request, demo_model):
    engine = HFEngine()
    directory = demo_model(request.param)
    engine.info = engine.load(_spec(directory), _info(directory))
    return engine


def _prompts() -> list[str]:
    return ["The sea is salt. " * i + f"题 {i}: is it?\nAnswer:" for i in (9, 1, 4, 2, 7)]


def _logprobs_by_plain_forward(engine: HFEngine, prompt: str, choice: str) -> float:
    model, tokenizer = engine._loaded.model, engine._loaded.tokenizer
    start = len(tokenizer.encode(prompt))
    whole = tokenizer.encode(prompt + choice)
    with torch.inference_mode():
        logprobs = torch.log_softmax(model(torch.tensor([whole])).logits[0].float(), dim=-1)
    return sum(float(logprobs[at - 1, whole[at]]) for at in range(start, len(whole)))


def _one(engine: HFEngine, requests: list[Request], batch_size: int) -> dict:
    return {c.request_id: c for batch in engine.complete(requests, batch_size=batch_size) for c in batch}


@pytest.mark.parametrize(
    "choices", [(" A", " B", " C", " D"), (" yes", " no"), (" yes indeed", " no", " 也许是")]
)
@pytest.mark.parametrize("batch_size", [1, 5])
def test_choice_log_probabilities_equal_a_plain_forward(engine, choices, batch_size):
    requests = [Request(str(i), TextPrompt("", (), p), choices=choices) for i, p in enumerate(_prompts())]
    completions = _one(engine, requests, batch_size)
    for i, prompt in enumerate(_prompts()):
        expected = [_logprobs_by_plain_forward(engine, prompt, choice) for choice in choices]
        assert completions[str(i)].choice_logprobs == pytest.approx(expected, abs=TOLERANCE)


def test_generation_equals_recomputing_every_token_from_scratch(engine):
    prompts = _prompts()
    requests = [Request(str(i), TextPrompt("", (), p), max_new_tokens=6) for i, p in enumerate(prompts)]
    completions = _one(engine, requests, 5)
    for i, prompt in enumerate(prompts):
        ids = engine._loaded.tokenizer.encode(prompt)
        for token in completions[str(i)].output_tokens:
            with torch.inference_mode():
                assert int(engine._loaded.model(torch.tensor([ids])).logits[0, -1].argmax()) == token
            ids.append(token)


def test_the_last_token_rule_scores_the_last_token_at_the_last_position(engine):
    prompt = _prompts()[0]
    request = Request(
        "r", TextPrompt("", (), prompt), choices=(" yes", " so no"), choice_rule=ChoiceRule.LAST_TOKEN
    )
    completion = _one(engine, [request], 1)["r"]
    tokenizer, model = engine._loaded.tokenizer, engine._loaded.model
    with torch.inference_mode():
        logits = model(torch.tensor([tokenizer.encode(prompt)])).logits[0, -1]
    logprobs = torch.log_softmax(logits.float(), dim=-1)
    last = [tokenizer.encode(prompt + choice)[-1] for choice in request.choices]
    assert [ids[0] for ids in completion.choice_tokens] == last
    assert completion.choice_logprobs == pytest.approx([float(logprobs[i]) for i in last], abs=TOLERANCE)


def test_a_stop_text_ends_the_generation_and_is_left_out(engine):
    prompt = TextPrompt("", (), "The sea")
    free = _one(engine, [Request("r", prompt, max_new_tokens=12)], 1)["r"]
    stop = free.text[len(free.text) // 2 :][:2]
    held = _one(engine, [Request("r", prompt, max_new_tokens=12, stop=(stop,))], 1)["r"]
    assert held.text == free.text.split(stop)[0]
    assert len(held.output_tokens) <= len(free.output_tokens)


def test_a_generation_that_says_end_of_text_stops(engine):
    free = _one(engine, [Request("r", TokenPrompt((60, 61, 62)), max_new_tokens=8)], 1)["r"]
    third = free.output_tokens[2]
    loaded = engine._answers.loaded
    engine._answers.loaded = replace(loaded, eos_token_ids=frozenset({third}))
    try:
        ended = _one(engine, [Request("r", TokenPrompt((60, 61, 62)), max_new_tokens=8)], 1)["r"]
        ignoring = Request("r", TokenPrompt((60, 61, 62)), max_new_tokens=8, ignore_eos=True)
        whole = _one(engine, [ignoring], 1)["r"]
    finally:
        engine._answers.loaded = loaded
    assert ended.output_tokens == free.output_tokens[: free.output_tokens.index(third) + 1]
    assert ended.finish.value == "stop"
    assert whole.output_tokens == free.output_tokens


def test_memory_that_runs_out_is_told_and_the_engine_lives_on(engine, monkeypatch):
    def full(*_: object, **__: object) -> None:
        raise RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried 9 bytes")

    timed = Request("t", TokenPrompt((60, 61)), max_new_tokens=2, ignore_eos=True)
    asked = Request("a", TokenPrompt((60, 61)), max_new_tokens=2)
    _one(engine, [asked], 1)  # the trial of generations, which memory must not disturb, is made here
    with monkeypatch.context() as patch:
        patch.setattr(engine._loaded.model, "forward", full)
        with pytest.raises(OutOfMemory, match="1 rows of up to 2 prompt tokens"):
            _one(engine, [timed], 1)
        assert "out of memory" in _one(engine, [asked], 1)["a"].error
    assert _one(engine, [timed], 1)["t"].error is None
    assert _one(engine, [asked], 1)["a"].error is None


def test_another_failure_of_the_model_is_not_taken_for_memory(engine, monkeypatch):
    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("shapes do not match")

    monkeypatch.setattr(engine._loaded.model, "forward", broken)
    with pytest.raises(RuntimeError, match="shapes"):
        _one(engine, [Request("r", TokenPrompt((60, 61)), max_new_tokens=2)], 1)


def test_a_dtype_word_decides_the_dtype(demo_model):
    engine = HFEngine()
    directory = demo_model("llama")
    assert engine.load(_spec(directory, dtype="bfloat16"), _info(directory)).dtype == "bfloat16"
    assert engine.load(_spec(directory, dtype=None), _info(directory)).dtype == "float32"


def test_a_demanded_device_that_is_absent_is_refused(demo_model):
    directory = demo_model("llama")
    with pytest.raises(PrerequisiteError, match="device npu is demanded"):
        HFEngine().load(_spec(directory, device="npu"), _info(directory))


def test_a_context_beyond_learned_positions_is_refused(demo_model):
    directory = demo_model("gpt2")
    with pytest.raises(SpecError, match="8192 positions this model has learned"):
        HFEngine().load(_spec(directory, max_position_embeddings=9000), _info(directory))


def test_weights_that_are_missing_are_not_made_up(demo_model, tmp_path):
    from safetensors.torch import load_file, save_file

    directory = tmp_path / "partial"
    shutil.copytree(demo_model("llama"), directory)
    weights = load_file(directory / "model.safetensors")
    del weights["model.layers.1.mlp.up_proj.weight"]
    save_file(weights, directory / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(EngineError, match=r"lacks 1 weights of its model, model\.layers\.1\.mlp\.up_proj"):
        HFEngine().load(_spec(directory), _info(directory))


def test_a_longer_context_is_used_where_positions_are_computed(demo_model):
    directory = demo_model("gpt_neox")
    info = HFEngine().load(_spec(directory, max_position_embeddings=9000), _info(directory))
    assert info.context_tokens == 9000


@pytest.mark.parametrize(
    ("spec", "model", "error"),
    [
        ({}, {"quantize": "w8a8"}, "w8a8"),
        ({"kw_args": '{"encrypt_enable": 1}'}, {}, "encryption"),
        ({"engine_options": {"a": "b"}}, {}, "no options; given: a"),
    ],
)
def test_what_it_cannot_run_is_refused_before_loading(spec, model, error):
    with pytest.raises((PrerequisiteError, SpecError), match=error):
        HFEngine().check(_spec("w", **spec), _info("w", **model))


def test_asking_before_loading_is_an_error():
    with pytest.raises(EngineError, match="before it has loaded"):
        list(HFEngine().complete([], batch_size=1))


def test_weights_that_cannot_be_read_are_one_line(demo_model, tmp_path):
    directory = tmp_path / "broken"
    shutil.copytree(demo_model("llama"), directory)
    (directory / "model.safetensors").write_bytes(b"garbage")
    with pytest.raises(EngineError, match="cannot load") as caught:
        HFEngine().load(_spec(directory), _info(directory))
    assert "\n" not in str(caught.value)
    assert str(caught.value).endswith("(more is in the run's log.txt)")


def test_no_remote_code_runs_without_the_word(demo_model):
    directory = demo_model("internlm2")
    assert "auto_map" in json.loads((directory / "config.json").read_text())
    with pytest.raises(EngineError, match="cannot load"):
        HFEngine().load(_spec(directory, trust_remote_code=False), _info(directory))


@pytest.mark.parametrize("kind", ["one token", "several tokens", "generation"])
def test_answers_do_not_depend_on_the_batch_size(engine, kind):
    prompts = [shot + prompt for shot in ("", "Some sea is deep. " * 20) for prompt in _prompts()]
    if kind == "generation":
        requests = [Request(str(i), TextPrompt("", (), p), max_new_tokens=5) for i, p in enumerate(prompts)]
    else:
        choices = (" A", " B") if kind == "one token" else (" yes indeed", " no")
        requests = [Request(str(i), TextPrompt("", (), p), choices=choices) for i, p in enumerate(prompts)]
    alone = _one(engine, requests, 1)
    for batch_size in (3, 8, 32):
        together = _one(engine, requests, batch_size)
        for name, completion in alone.items():
            assert together[name].output_tokens == completion.output_tokens
            assert together[name].choice_logprobs == pytest.approx(completion.choice_logprobs, abs=TOLERANCE)


def test_the_first_character_is_the_same_however_early_it_is_known(engine):
    prompts = [TextPrompt("", (), f"{'The sea is salt. ' * (i % 5)}Question {i}\nAnswer:") for i in range(40)]
    whole = _one(engine, [Request(str(i), p, max_new_tokens=20) for i, p in enumerate(prompts)], 8)
    early = _one(
        engine,
        [Request(str(i), p, max_new_tokens=20, first_character_only=True) for i, p in enumerate(prompts)],
        8,
    )
    for name, completion in whole.items():
        assert early[name].text.lstrip()[:1] == completion.text.lstrip()[:1]
        assert early[name].output_tokens == completion.output_tokens[: len(early[name].output_tokens)]
    fed = sum(len(completion.output_tokens) for completion in early.values())
    assert fed < sum(len(completion.output_tokens) for completion in whole.values()) / 2


def test_whether_a_choice_is_what_greedy_decoding_would_say_is_told(engine):
    prompt = TextPrompt("", (), _prompts()[0])
    said = _one(engine, [Request("g", prompt, max_new_tokens=2)], 1)["g"].output_tokens
    other = tuple(token + 1 for token in said)
    token_prompt = TokenPrompt(_one(engine, [Request("g", prompt, max_new_tokens=2)], 1)["g"].prompt_tokens)
    request = Request("r", token_prompt, choices=(said, other, said[:1]))
    assert _one(engine, [request], 1)["r"].choice_is_greedy == (True, False, True)


def test_text_choices_after_a_prompt_of_token_ids_are_refused(engine):
    request = Request("r", TokenPrompt((60, 61)), choices=(" yes",))
    assert "choices of token ids" in _one(engine, [request], 1)["r"].error


def test_what_was_computed_is_told(demo_model):
    engine = HFEngine()
    directory = demo_model("llama")
    info = engine.load(_spec(directory), _info(directory))
    if "keeps a model's attention closed" in info.notes[0]:
        pytest.skip(info.notes[0])
    shots = tuple(range(20, 70))
    requests = [Request(str(i), TokenPrompt((*shots, 300 + i)), choices=((5,), (6,))) for i in range(4)]
    _one(engine, requests, 4)
    usage = engine.usage()
    assert usage.computed_tokens == 50 + 4
    assert usage.reused_tokens == 3 * 50
    assert usage.forward_calls == 1
    assert usage.forward_s > 0
    assert usage.split_batches == usage.padding_tokens == 0


def test_a_model_that_cannot_share_prefixes_answers_all_the_same(demo_model, monkeypatch):
    directory = demo_model("llama")
    open_engine, closed_engine = HFEngine(), HFEngine()
    open_engine.load(_spec(directory), _info(directory))
    monkeypatch.setattr(
        "engines.hf.answering.model_answers.tree_feeder", lambda *_: (None, "shared prefixes off")
    )
    closed_engine.load(_spec(directory), _info(directory))
    requests = [
        *(
            Request(f"c{i}", TextPrompt("", (), p), choices=(" yes indeed", " no"))
            for i, p in enumerate(_prompts())
        ),
        *(Request(f"g{i}", TextPrompt("", (), p), max_new_tokens=5) for i, p in enumerate(_prompts())),
    ]
    shared, padded = _one(open_engine, requests, 3), _one(closed_engine, requests, 3)
    assert closed_engine.usage().padding_tokens > 0
    for name, completion in shared.items():
        assert padded[name].output_tokens == completion.output_tokens
        assert padded[name].choice_logprobs == pytest.approx(completion.choice_logprobs, abs=TOLERANCE)


@pytest.fixture
def broken(demo_model):
    """An engine whose model says NaN."""
    directory = demo_model("llama")
    engine = HFEngine()
    engine.load(_spec(directory), _info(directory))
    with torch.no_grad():
        engine._loaded.model.model.norm.weight.fill_(float("nan"))
    return engine


@pytest.mark.parametrize("ignore_eos", [False, True])
def test_a_model_that_says_nan_fails_instead_of_answering(broken, ignore_eos):
    requests = [
        Request(str(i), TokenPrompt((60, 61 + i)), max_new_tokens=3, ignore_eos=ignore_eos) for i in range(2)
    ]
    for completion in _one(broken, requests, 2).values():
        assert completion.error == "the model's logits are not numbers (NaN)"


@pytest.mark.parametrize(("name", "text"), [("tokenizer.json", "garbage"), ("tokenizer.json", None)])
def test_a_tokenizer_that_cannot_be_read_is_named_with_its_files(demo_model, tmp_path, name, text):
    directory = tmp_path / "broken"
    shutil.copytree(demo_model("llama"), directory)
    (directory / name).unlink() if text is None else (directory / name).write_text(text)
    with pytest.raises(EngineError, match=r"cannot load the tokenizer in .*files: .*tokenizer_config\.json"):
        HFEngine().load(_spec(directory), _info(directory))


def test_a_tokenizer_of_another_model_is_refused(demo_model, tmp_path):
    directory = tmp_path / "mixed"
    shutil.copytree(demo_model("llama"), directory)
    tokenizer = json.loads((directory / "tokenizer.json").read_text())
    more = [{**tokenizer["added_tokens"][0], "id": 5000 + i, "content": f"<more{i}>"} for i in range(3000)]
    tokenizer["added_tokens"] += more
    (directory / "tokenizer.json").write_text(json.dumps(tokenizer))
    with pytest.raises(EngineError, match="do not belong together"):
        HFEngine().load(_spec(directory), _info(directory))


def test_the_next_window_is_tokenized_while_this_one_is_answered(demo_model, monkeypatch):
    monkeypatch.setattr("engines.hf.engine.WINDOW_REQUESTS", 2)
    engine = HFEngine()
    directory = demo_model("llama")
    engine.load(_spec(directory), _info(directory))
    requests = [
        Request(str(i), TextPrompt("", (), prompt), choices=(" A", " B"))
        for i, prompt in enumerate(_prompts())
    ]
    windows = []
    encode_all = engine._encoder.encode_all
    monkeypatch.setattr(
        engine._encoder, "encode_all", lambda window: windows.append(len(window)) or encode_all(window)
    )
    answers = engine.complete(requests, batch_size=8)
    seen = {done.request_id for done in next(answers)}
    assert seen == {"0", "1"}
    seen.update(done.request_id for batch in answers for done in batch)
    assert seen == {"0", "1", "2", "3", "4"}
    assert windows == [2, 2, 1, 0]


def test_what_goes_wrong_while_tokenizing_ahead_ends_the_run(demo_model, monkeypatch):
    monkeypatch.setattr("engines.hf.engine.WINDOW_REQUESTS", 1)
    engine = HFEngine()
    directory = demo_model("llama")
    engine.load(_spec(directory), _info(directory))
    requests = [
        Request(str(i), TextPrompt("", (), prompt), choices=(" A", " B"))
        for i, prompt in enumerate(_prompts())
    ]

    def encode_all(window):
        if window[0].id == "1":
            raise RuntimeError("tokenizer broke")
        return original(window)

    original = engine._encoder.encode_all
    monkeypatch.setattr(engine._encoder, "encode_all", encode_all)
    answers = engine.complete(requests, batch_size=8)
    next(answers)
    with pytest.raises(RuntimeError, match="tokenizer broke"):
        next(answers)


def test_a_sampling_engine_draws_alike_in_every_run_that_it_serves(demo_model):
    weights = demo_model("llama")
    options = TaskOptions(generation=GenerationOptions(8, ("a",), sampling=Sampling(temperature=2.0)))
    spec, info = _spec(weights, options=options), _info(weights)
    drawn = [Request(str(row), TextPrompt("", (), "The sea"), 8) for row in range(2)]
    timed = [Request("sentinel", TokenPrompt((5, 6, 7)), 4, ignore_eos=True)]
    alone, serving = HFEngine(), HFEngine()
    for engine in (alone, serving):
        engine.load(spec, info)

    def tokens(engine, requests):
        return {name: one.output_tokens for name, one in _one(engine, requests, 2).items()}

    sentinel, expected = tokens(serving, timed), tokens(alone, drawn)
    assert expected["0"] != expected["1"]
    for _ in range(2):
        serving.begin(spec, info)
        assert tokens(serving, drawn) == expected
        assert tokens(serving, timed) == sentinel, "a timed run takes the likeliest token"


NO_MEMORY = "[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried 9 bytes"


@pytest.mark.parametrize(("most_rows", "splits"), [(2, 1), (1, 3)], ids=["in halves", "one by one"])
def test_rows_that_do_not_fit_in_flight_together_fly_in_smaller_numbers(
    demo_model, monkeypatch, most_rows, splits
):
    weights = demo_model("llama")
    engine = HFEngine()
    info = engine.load(_spec(weights), _info(weights))
    if "keeps a model's attention closed" in info.notes[0]:
        pytest.skip(info.notes[0])
    asked = [Request(str(i), TextPrompt("", (), prompt), 6) for i, prompt in enumerate(_prompts()[:4])]
    expected = {name: one.output_tokens for name, one in _one(engine, asked, 8).items()}
    admit = RowsInFlight.admit

    def limited(self, *row, **more):
        if len(self) == most_rows:
            raise RuntimeError(NO_MEMORY)
        admit(self, *row, **more)

    monkeypatch.setattr(RowsInFlight, "admit", limited)
    assert {name: one.output_tokens for name, one in _one(engine, asked, 8).items()} == expected
    assert engine.usage().split_batches == splits


def test_a_row_that_never_fits_after_its_prompt_fails_alone(demo_model, monkeypatch):
    weights = demo_model("llama")
    engine = HFEngine()
    info = engine.load(_spec(weights), _info(weights))
    if "keeps a model's attention closed" in info.notes[0]:
        pytest.skip(info.notes[0])
    short, long = (Request(name, TextPrompt("", (), name * 9), 6) for name in ("short ", "very long "))
    _one(engine, [short], 8)  # the trial of generations, which memory must not disturb, is made here
    admit = RowsInFlight.admit

    def limited(self, name, prefixes, own, **more):
        if sum(part.tokens for part in (*prefixes, *own)) > 25:
            raise RuntimeError(NO_MEMORY)
        admit(self, name, prefixes, own, **more)

    monkeypatch.setattr(RowsInFlight, "admit", limited)
    found = _one(engine, [short, long], 8)
    assert found["short "].error is None
    assert found["very long "].error.startswith("out of memory with")
