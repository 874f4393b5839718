"""The engine `faulty` on real tiny models: its answers are those of the plain model with the fault."""

import json
import math
import shutil
from dataclasses import replace

import pytest

from modeltest.api import (
    ChatPrompt,
    EngineError,
    ModelInfo,
    PrerequisiteError,
    Request,
    RunSpec,
    SpecError,
    TextPrompt,
    TokenPrompt,
    Turn,
)
from modeltest.demo.faults.applying import PATCHES, applied
from modeltest.demo.faults.catalogue import catalogue
from modeltest.demo.faults.engine import FaultyEngine

CHOICES = ((20, 21), (30,))
SHARED = tuple(range(40, 120))
"""What all prompts begin with: packs feed it once."""

PROMPTS = (*((*SHARED, 300 + number, 17) for number in range(3)), tuple(range(60, 75)))
CLOSE = 2e-3
RANDOM = {"dropout_left_on"}


def spec_of(directory, **options):
    return RunSpec(
        "faulty", "test", "test", "m", str(directory), dtype="float32", device="cpu", engine_options=options
    )


def info_of(directory):
    return ModelInfo("m", "m", str(directory), directory.name, "float32", None, 8192, 16, 1, None)


def requests(**more):
    return [Request(str(number), TokenPrompt(ids), **more) for number, ids in enumerate(PROMPTS)]


def answers(directory, fault, asked=None, **options):
    """Return what a run with the fault says, by request, and what the engine tells of itself."""
    engine = FaultyEngine()
    spec, info = spec_of(directory, fault=fault, **options), info_of(directory)
    engine.check(spec, info)
    try:
        told = engine.load(spec, info)
        batches = engine.complete(asked or requests(choices=CHOICES), batch_size=4)
        return {answer.request_id: answer for batch in batches for answer in batch}, told
    finally:
        engine.close()


def plain(model, ids, choices):
    """Return the log-probabilities of choices behind ids, of rows fed alone, without their last token."""
    import torch

    found = []
    with torch.inference_mode():
        for choice in choices:
            logits = (
                model(input_ids=torch.tensor([[*ids, *choice[:-1]]]), use_cache=False)
                .logits[0]
                .log_softmax(-1)
            )
            found.append(sum(float(logits[len(ids) - 1 + at, token]) for at, token in enumerate(choice)))
    return found


@pytest.mark.parametrize(("family", "of"), [("llama", "hf"), ("gpt2", "hf"), ("llama", "hf_paged")])
def test_every_fault_acts_in_the_way_the_engine_feeds_rows(tiny, demo_model, family, of):
    model, trouble = tiny(family), []
    for fault in catalogue().faults.values():
        is_own = fault.name in PATCHES and PATCHES[fault.name].needs_own_attention
        if fault.name not in PATCHES or fault.name in RANDOM or (of == "hf_paged" and is_own):
            continue
        strength = fault.ladder[-1]
        try:
            with applied(model, fault.name, strength):
                wanted = [plain(model, ids, CHOICES) for ids in PROMPTS]
        except PrerequisiteError:
            continue
        found, _ = answers(demo_model(family), f"{fault.name}:{strength}", of=of)
        worst = max(
            abs(one - other)
            for number, row in enumerate(wanted)
            for one, other in zip(found[str(number)].choice_logprobs, row, strict=True)
        )
        if not worst < CLOSE:
            trouble.append((fault.name, worst))
    assert trouble == []


@pytest.mark.parametrize(
    "fault",
    [
        "first_key_lost:1",
        "prefill_boundary:16",
        "block_table_shifted:2",
        "stale_block:1",
        "rope_query_ahead:1",
        "position_jump:1",
        "prefix_of_another:16",
    ],
)
def test_a_fault_acts_on_tokens_that_are_generated_one_by_one(tiny, demo_model, fault):
    """What the model would say is read from passes over the whole text, without any cache."""
    import torch

    model, tokens = tiny("llama"), 6
    found, _ = answers(demo_model("llama"), fault, requests(max_new_tokens=tokens))
    name, _, strength = fault.partition(":")
    with applied(model, name, float(strength)), torch.inference_mode():
        for number, ids in enumerate(PROMPTS):
            said = list(ids)
            for _ in range(tokens):
                logits = model(input_ids=torch.tensor([said]), use_cache=False).logits[0, -1]
                said.append(int(logits.argmax()))
            assert found[str(number)].output_tokens == tuple(said[len(ids) :])


def test_a_prompt_of_text_is_fed_as_the_fault_has_it(demo_model):
    """What text becomes is asked of the engine behind, so what is told is what was fed."""
    asked = [
        Request("choices", TextPrompt("", (), "one two three four five"), choices=(" six", " seven")),
        Request("generated", TextPrompt("", (), "one two three"), max_new_tokens=3),
        Request("conversation", ChatPrompt((), (), (Turn("user", "one two"),)), choices=(" six", " seven")),
    ]
    right, _ = answers(demo_model("llama"), "answers_swapped:0", asked)
    cut, _ = answers(demo_model("llama"), "truncated_prompt:2", asked)
    for name, answer in right.items():
        assert cut[name].prompt_tokens == answer.prompt_tokens[2:]
        assert cut[name].choice_tokens == answer.choice_tokens
    known = [
        Request(
            each.id,
            TokenPrompt(right[each.id].prompt_tokens[2:]),
            each.max_new_tokens,
            right[each.id].choice_tokens,
        )
        for each in asked
    ]
    by_ids, _ = answers(demo_model("llama"), "answers_swapped:0", known)
    for name in right:
        assert cut[name].choice_logprobs == pytest.approx(by_ids[name].choice_logprobs, abs=1e-5)
        assert cut[name].output_tokens == by_ids[name].output_tokens


def test_a_run_says_in_every_place_that_it_has_a_fault(demo_model):
    _, told = answers(demo_model("llama"), "attention_scale")
    assert told.engine == "faulty"
    assert told.implementations["fault"] == "attention_scale 1.02"
    assert told.implementations["engine"] == "hf"
    assert told.notes[0].startswith("NOT A REAL ENGINE: hf with the fault attention_scale 1.02: Scores of ")


def test_faults_of_attention_itself_are_fed_in_padded_rows_and_say_so(demo_model):
    _, told = answers(demo_model("llama"), "mask_hides_itself")
    assert any(note.startswith("rows are padded: the fault is in the model's own") for note in told.notes)


def test_a_fault_of_prompts_is_put_into_what_is_asked(tiny, demo_model):
    found, _ = answers(demo_model("llama"), "truncated_prompt:16")
    wanted = plain(tiny("llama"), PROMPTS[0][16:], CHOICES)
    assert found["0"].choice_logprobs == pytest.approx(wanted, abs=CLOSE)


def test_sampling_left_on_draws_and_a_run_without_does_not(demo_model):
    asked = requests(max_new_tokens=12)
    drawn, _ = answers(demo_model("llama"), "sampling_left_on:5", asked)
    greedy, _ = answers(demo_model("llama"), "attention_scale:1.0", asked)
    assert all(drawn[name].output_tokens != greedy[name].output_tokens for name in greedy)


def test_a_stop_token_that_is_missed_lets_an_answer_go_on(demo_model, tmp_path):
    """A token that greedy decoding says ends a text in a copy of the checkpoint."""
    asked = requests(max_new_tokens=12)
    free, _ = answers(demo_model("llama"), "attention_scale:1.0", asked)
    end = free["0"].output_tokens[4]
    directory = tmp_path / "llama"
    shutil.copytree(demo_model("llama"), directory)
    path = directory / "generation_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "eos_token_id": end}))
    ended, told = answers(directory, "attention_scale:1.0", asked)
    on, _ = answers(directory, "stop_token_missed:3", asked)
    count = free["0"].output_tokens.index(end) + 1
    assert end in told.special_token_ids
    assert len(ended["0"].output_tokens) <= count
    assert on["0"].output_tokens == free["0"].output_tokens[: count + 3]


def test_a_fault_is_exchanged_in_a_loaded_model_as_if_it_had_been_loaded_with(demo_model):
    directory, asked = demo_model("llama"), requests(choices=CHOICES)
    engine = FaultyEngine()
    engine.load(spec_of(directory, fault="attention_scale:1.5"), info_of(directory))
    try:
        notes = [
            engine.exchange(f"{name}")
            for name in ("head_order:1", "truncated_prompt:16", "mask_hides_itself:1")
        ]
        hides = {
            a.request_id: a.choice_logprobs for batch in engine.complete(asked, batch_size=4) for a in batch
        }
        engine.exchange("head_order:1")
        heads = {
            a.request_id: a.choice_logprobs for batch in engine.complete(asked, batch_size=4) for a in batch
        }
    finally:
        engine.close()
    assert [bool(each) for each in notes] == [False, False, True]
    for found, fault in ((hides, "mask_hides_itself:1"), (heads, "head_order:1")):
        loaded, _ = answers(directory, fault)
        for name, answer in loaded.items():
            assert found[name] == pytest.approx(answer.choice_logprobs, abs=CLOSE)


def test_sampling_is_left_on_from_load_alone(demo_model):
    engine = FaultyEngine()
    directory = demo_model("llama")
    with pytest.raises(EngineError, match="once it has loaded a model"):
        engine.exchange("head_order:1")
    engine.load(spec_of(directory, fault="head_order:1"), info_of(directory))
    try:
        with pytest.raises(SpecError, match="leaves sampling on from load"):
            engine.exchange("sampling_left_on:1")
    finally:
        engine.close()


def test_padding_that_sees_no_key_makes_no_number_undefined(demo_model):
    found, _ = answers(demo_model("gpt2"), "softmax_in_half:8")
    assert all(math.isfinite(each) for answer in found.values() for each in answer.choice_logprobs)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({}, "engine faulty needs a fault: --engine-option fault=NAME:STRENGTH"),
        ({"fault": "nothing"}, "unknown fault 'nothing'"),
        ({"fault": "rope_base", "with": "1"}, "engine hf has no options; given: with"),
        ({"fault": "rope_base", "of": "faulty"}, "puts a fault into another engine"),
    ],
)
def test_what_cannot_be_asked_is_refused_before_anything_is_loaded(demo_model, options, said):
    directory = demo_model("llama")
    with pytest.raises(SpecError, match=said):
        FaultyEngine().check(spec_of(directory, **options), info_of(directory))


def test_an_engine_that_keeps_its_model_is_refused(demo_model):
    directory = demo_model("llama")
    spec = spec_of(directory, fault="rope_base", of="fake")
    with pytest.raises(PrerequisiteError, match="cannot put rope_base into engine fake, which does not give"):
        FaultyEngine().check(spec, info_of(directory))


def test_several_ranks_are_refused(demo_model):
    directory = demo_model("llama")
    spec = replace(spec_of(directory, fault="rope_base"), world_size=2)
    with pytest.raises(SpecError, match="engine faulty runs on one device; the words ask for 2: give 1"):
        FaultyEngine().check(spec, info_of(directory))


def test_own_attention_is_refused_by_an_engine_that_computes_attention_itself(demo_model):
    with pytest.raises(PrerequisiteError, match="hf_paged computes attention itself"):
        answers(demo_model("llama"), "mask_hides_itself", of="hf_paged")


def test_the_fault_is_refused_where_the_model_has_not_what_it_is_about(demo_model):
    with pytest.raises(PrerequisiteError, match="rope_base is of something that a GPT2LMHeadModel has not"):
        answers(demo_model("gpt2"), "rope_base")
