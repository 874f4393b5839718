"""Tiny models: which layer and operation is named for a fault in one layer, and none without."""

from contextlib import ExitStack
from copy import deepcopy
from dataclasses import replace

import pytest

from modeltest.api import EngineError
from modeltest.demo.faults.applying import PATCHES
from modeltest.demo.faults.parts.anatomy import anatomy_of
from modeltest.demo.faults.parts.patching import edit_weight, on_input, on_output
from modeltest.locate.answer import answer_of, departures_in
from modeltest.locate.comparing import Comparison, standard_of
from modeltest.locate.parts import layers_of
from modeltest.locate.stations import Part
from modeltest.locate.tap import tapped
from modeltest.locate.weights import weights_off

torch = pytest.importorskip("torch")
IDS = (tuple(range(40, 88)), tuple(range(300, 340)))
LAYER = 1
FAMILIES = ("llama", "gpt2", "gemma", "qwen2", "gpt_neox")


@pytest.fixture(scope="module")
def models(demo_model):
    """Return a function from a family to reference, twin and candidate, and what the reference computes."""
    from transformers import AutoModelForCausalLM

    known = {}

    def load(family):
        if family not in known:
            directory = demo_model(family)
            reference, twin, candidate = (
                AutoModelForCausalLM.from_pretrained(directory, dtype=dtype).eval()
                for dtype in (torch.float32, torch.bfloat16, torch.bfloat16)
            )
            standards = [standard_of(ids, reference=reference, twin=twin) for ids in IDS]
            known[family] = reference, candidate, standards
        return known[family]

    return load


def departures(models, family):
    reference, candidate, standards = models(family)
    comparison = Comparison()
    for standard in standards:
        comparison.add(standard, candidate)
    return tuple(departures_in(comparison.evidence(), weights_off(reference, candidate)))


def in_layer(undo, candidate, name, strength):
    parts = anatomy_of(candidate)
    PATCHES[name].apply(undo, replace(parts, layers=(parts.layers[LAYER],)), strength)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_a_right_candidate_departs_nowhere(models, family, attention):
    _, candidate, _ = models(family)
    candidate.set_attn_implementation(attention)
    try:
        assert departures(models, family) == ()
    finally:
        candidate.set_attn_implementation("sdpa")


@pytest.mark.parametrize(
    ("fault", "strength", "operation"),
    [
        ("attention_scale", 1.02, Part.SCORES),
        ("head_order", 1.0, Part.HEADS),
        ("kv_group", 1.0, Part.KEYS),
        ("mask_shows_the_next", 1.0, Part.SCORES),
        ("residual_scale", 1.02, Part.OUTPUT),
        ("norm_missing", 1.0, Part.NORM),
        ("norm_epsilon", 10000.0, Part.NORM),
        ("wrong_activation", 1.0, Part.ACTIVATION),
        ("gate_for_up", 1.0, Part.GATE),
        ("weights_int8", 1.0, Part.QUERIES),
        ("residual_coarse", 5.0, Part.RESIDUAL),
    ],
)
def test_a_fault_of_one_layer_is_named_by_layer_and_operation(models, fault, strength, operation):
    _, candidate, _ = models("llama")
    with ExitStack() as undo:
        in_layer(undo, candidate, fault, strength)
        found = departures(models, "llama")
    assert {each.layer for each in found} == {LAYER}
    assert found[0].operation == operation.value
    assert departures(models, "llama") == ()


@pytest.mark.parametrize("family", ["gpt2", "gemma", "gpt_neox"])
@pytest.mark.parametrize("fault", ["residual_scale", "wrong_activation", "norm_missing"])
def test_the_layer_is_right_in_other_families(models, family, fault):
    _, candidate, _ = models(family)
    with ExitStack() as undo:
        in_layer(undo, candidate, fault, 1.05 if fault == "residual_scale" else 1.0)
        assert {each.layer for each in departures(models, family)} == {LAYER}


def test_a_scale_of_two_percent_is_told_as_what_it_is(models):
    _, candidate, _ = models("llama")
    with ExitStack() as undo:
        in_layer(undo, candidate, "attention_scale", 1.02)
        (found,) = departures(models, "llama")
    assert found.change == "scale of the scores"
    assert found.coefficient == pytest.approx(0.02, rel=0.2)


def test_angles_that_one_layer_gets_wrong_are_its_rotary(models):
    _, candidate, _ = models("llama")
    parts = anatomy_of(candidate)
    wrong = deepcopy(parts.rotaries[0])
    wrong.inv_freq *= 1.02

    def hook(_, given, named):
        places = torch.arange(named["hidden_states"].shape[1])[None]
        return given, {**named, "position_embeddings": wrong(named["hidden_states"], places)}

    attention = parts.layers[LAYER].module.self_attn
    handle = attention.register_forward_pre_hook(hook, with_kwargs=True)
    found = departures(models, "llama")
    handle.remove()
    assert {(each.layer, each.operation) for each in found} == {(LAYER, Part.ROTARY.value)}


@pytest.mark.parametrize(
    ("name", "change", "place"),
    [
        ("embedding", lambda undo, parts: on_output(undo, parts.embedding, lambda h: h * 1.02), "embedding"),
        ("final", lambda undo, parts: on_output(undo, parts.final_norm, lambda h: h * 1.02), "final norm"),
        ("head", lambda undo, parts: on_output(undo, parts.head, lambda h: h / 1.02), "head"),
        (
            "rotary",
            lambda undo, parts: PATCHES["rope_frequencies"].apply(undo, parts, 1.01),
            "positions",
        ),
        ("ids", lambda undo, parts: on_input(undo, parts.embedding, lambda ids: ids + 1), "embedding"),
    ],
)
def test_what_is_outside_the_layers_is_named(models, name, change, place):
    _, candidate, _ = models("llama")
    with ExitStack() as undo:
        change(undo, anatomy_of(candidate))
        found = departures(models, "llama")
    assert (found[0].layer, found[0].place) == (None, place)
    assert all(each.layer is None for each in found)


def test_one_weight_that_is_no_rounding_is_found(models):
    _, candidate, _ = models("llama")
    down = layers_of(candidate)[LAYER].mlp.down_proj

    def spoil(values):
        values[0, 0] *= 1.05
        return values

    with ExitStack() as undo:
        edit_weight(undo, down.weight, spoil)
        (found,) = departures(models, "llama")
    assert (found.layer, found.operation, found.weights_off) == (LAYER, Part.DOWN.value, 1)


def test_weights_cut_off_instead_of_rounded_are_as_good(models):
    reference, candidate, _ = models("llama")
    down, exact = (layers_of(each)[LAYER].mlp.down_proj for each in (candidate, reference))
    cut = (exact.weight.data.view(torch.int32) & -65536).view(torch.float32)
    with ExitStack() as undo:
        edit_weight(undo, down.weight, lambda _: cut.clone())
        assert weights_off(reference, candidate) == {}


def test_a_model_without_layers_of_the_reference_is_refused(models):
    other = models("gpt2")[1]
    with pytest.raises(EngineError, match="another than the reference"):
        Comparison().add(models("llama")[2][0], other)


def test_a_tap_leaves_nothing_behind(models):
    from transformers import AttentionInterface

    _, candidate, _ = models("llama")
    ids = torch.tensor([IDS[0]])
    before = candidate(input_ids=ids).logits
    mapping = dict(AttentionInterface._global_mapping)
    with tapped(candidate, lambda station, value, changes: value * 0):
        assert not torch.equal(candidate(input_ids=ids).logits, before)
    assert torch.equal(candidate(input_ids=ids).logits, before)
    assert AttentionInterface._global_mapping == mapping


def test_the_answer_of_faults_in_all_layers_says_so(models):
    _, candidate, _ = models("llama")
    layers = len(layers_of(candidate))
    with ExitStack() as undo:
        PATCHES["attention_scale"].apply(undo, anatomy_of(candidate), 1.05)
        answer = answer_of(departures(models, "llama"), layers)
    assert answer.startswith("layer 0, attention: scale, mask and softmax")
    assert answer.endswith(f"{layers - 1} further of {layers} layers depart too")
