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
    names = sorted(known.faults)
    drawn = Random(known.draw_seed).sample(names, len(names) // 2)
    assert {name for name in names if known.faults[name].held_out} == set(drawn)
    families = sorted(set(known.models) - {"smollm2"})
    assert known.held_out_model == Random(known.draw_seed).choice(families)


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
