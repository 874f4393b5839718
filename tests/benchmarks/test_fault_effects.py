"""Effects of faults by numbers that can be computed by hand, and of one fault on a tiny model."""

import json
import sys

import fault_effects
import pytest
from fault_effects import Said, effect_of, main, measure

from modeltest.demo.faults.catalogue import catalogue


def said(logprobs, likeliest=(1, 2, 3, 4)):
    import torch

    return Said(torch.tensor(logprobs, dtype=torch.float64), torch.tensor(likeliest))


def test_an_effect_is_the_mean_shift_with_and_without_its_sign():
    effect = effect_of("gpt2", "rope_base", 0.1, said([-1, -3, -2, -2], (1, 2, 3, 9)), said([-2, -2, -2, -2]))
    assert (effect.mean_absolute, effect.mean, effect.other_likeliest) == (0.5, 0.0, 0.25)
    assert effect.has_effect is None


@pytest.mark.parametrize(("floor", "has"), [(0.5, True), (0.51, False)])
def test_what_is_below_the_floor_has_no_effect(floor, has):
    faulty, clean = said([-1, -3, -2, -2]), said([-2, -2, -2, -2])
    assert effect_of("gpt2", "rope_base", 0.1, faulty, clean, floor=floor).has_effect is has


def test_what_is_not_a_number_counts_as_most():
    nan = float("nan")
    effect = effect_of("gpt2", "rope_base", 0.1, said([nan, nan, -2, -2]), said([-2, -2, -2, -2]))
    assert (effect.mean_absolute, effect.mean) == (50.0, -50.0)


@pytest.fixture
def few_tokens(monkeypatch):
    monkeypatch.setattr(fault_effects, "ROWS", 1)
    monkeypatch.setattr(fault_effects, "FORCED_TOKENS", 48)


def test_the_twin_is_told_first_then_each_fault_of_the_model_or_its_prompts(demo_model, few_tokens):
    effects = list(measure("qwen2", str(demo_model("qwen2")), ladder=False))
    assert effects[0].fault == "bfloat16"
    assert 0 < effects[0].mean_absolute < 0.2
    told = {effect.fault: effect for effect in effects[1:]}
    of_answers = {"stop_token_missed", "wrong_stop_token", "sampling_left_on", "answers_swapped"}
    known = catalogue().faults.values()
    assert set(told) == {fault.name for fault in known if "qwen2" in fault.models} - of_answers
    assert told["rope_pairing"].has_effect
    assert told["double_bos"].has_effect
    assert not told["final_norm_epsilon"].has_effect
    assert told["attention_scale"].strength == 1.02


def test_the_script_writes_what_it_measured(demo_model, few_tokens, tmp_path, monkeypatch):
    path = tmp_path / "effects.json"
    monkeypatch.setattr(
        fault_effects, "measure", lambda name, _, **__: [effect_of(name, "x", 1.0, *[said([0.0])] * 2)]
    )
    monkeypatch.setattr(sys, "argv", ["fault_effects", f"qwen2={demo_model('qwen2')}", "--out", str(path)])
    main()
    content = json.loads(path.read_text())
    assert (content["floor_share"], content["forced_tokens"]) == (0.1, 48)
    assert [effect["model"] for effect in content["effects"]] == ["qwen2"]


def test_a_model_that_the_catalogue_has_not_is_refused(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["fault_effects", "bert=x", "--out", "y"])
    with pytest.raises(SystemExit, match="'bert=x': give MODEL=DIRECTORY with a MODEL of smollm2, gpt2"):
        main()


def test_single_faults_are_measured_at_all_strengths(demo_model, few_tokens):
    effects = list(
        measure("gpt2", str(demo_model("gpt2")), ladder=True, only=["logit_cap_imposed", "rope_base"])
    )
    assert [(each.fault, each.strength) for each in effects[1:]] == [
        ("logit_cap_imposed", strength) for strength in (200, 100, 50, 30)
    ]
    sizes = [each.mean_absolute for each in effects[1:]]
    assert sizes == sorted(sizes)
