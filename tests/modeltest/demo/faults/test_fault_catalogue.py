"""The catalogue as data: complete, and held out by the draw it says."""

from random import Random

import pytest

from modeltest.api import SpecError
from modeltest.demo.faults.applying import PATCHES
from modeltest.demo.faults.catalogue import OF_REQUESTS, catalogue, read_asked
from modeltest.demo.faults.requests import PROMPTS

FEWEST = 40
OF_ANSWERS = {"stop_token_missed", "wrong_stop_token", "sampling_left_on", "answers_swapped"}


def test_every_fault_is_code_and_data():
    assert set(catalogue().faults) == {*PATCHES, *PROMPTS, *OF_ANSWERS}
    assert len(catalogue().faults) >= FEWEST


def test_a_fault_of_requests_or_answers_is_none_of_the_model():
    outside = {fault.name for fault in catalogue().faults.values() if fault.where in OF_REQUESTS}
    assert outside == {*PROMPTS, *OF_ANSWERS}


def test_every_fault_says_what_how_strong_and_of_which_models():
    for fault in catalogue().faults.values():
        assert fault.what.endswith("."), fault
        assert fault.unit, fault
        assert fault.strength in fault.ladder, fault
        assert len(set(fault.ladder)) == len(fault.ladder), fault
        assert set(fault.models) <= set(catalogue().models), fault


def test_at_least_forty_are_of_smollm2():
    assert sum("smollm2" in fault.models for fault in catalogue().faults.values()) >= FEWEST


def test_half_of_the_faults_and_one_random_model_are_held_out_by_the_draw():
    known = catalogue()
    names = sorted(name for name, fault in known.faults.items() if not fault.added_later)
    drawn = Random(known.draw_seed).sample(names, len(names) // 2)
    assert {name for name in known.faults if known.faults[name].held_out} == set(drawn)
    families = sorted(set(known.models) - {"smollm2"})
    assert known.held_out_model == Random(known.draw_seed).choice(families)


def test_directions_are_small_faults_of_models_of_which_none_is_held_out():
    directions = [read_asked(text) for text in catalogue().directions]
    assert 8 <= len(directions) <= 12
    assert len({fault.name for fault, _ in directions}) == len(directions)
    for fault, strength in directions:
        assert not fault.held_out, fault
        assert fault.where not in OF_REQUESTS, fault
        assert 0.95 <= strength <= 1.01, fault


@pytest.mark.parametrize("model", catalogue().models)
def test_every_model_has_most_of_what_directions_are_about(model):
    told = [fault for fault, _ in map(read_asked, catalogue().directions) if model in fault.models]
    assert len(told) >= 8


def test_a_fault_is_asked_for_by_name_with_a_strength_or_its_own():
    fault, strength = read_asked("attention_scale:1.5")
    assert (fault.name, strength) == ("attention_scale", 1.5)
    assert read_asked("attention_scale")[1] == 1.02


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("scale:1", "unknown fault 'scale'; there are: rope_base, "),
        ("attention_scale:much", r"is given the strength 'much'; it is a number \(factor\), such as 1.02"),
    ],
)
def test_what_cannot_be_read_is_refused(text, said):
    with pytest.raises(SpecError, match=said):
        read_asked(text)
