"""Directions as they are asked for: the catalogue's, others by name, none."""

import pytest

from modeltest.api import SpecError
from modeltest.demo.faults.catalogue import catalogue
from modeltest.options.directions import Direction, Directions, read_directions


def read(*words, no_directions=False, texts=4):
    return read_directions(words, no_directions=no_directions, texts=texts)


def test_without_a_word_those_of_the_catalogue_are_meant():
    found = read()
    assert [each.label for each in found.all] == list(catalogue().directions)
    assert not found.are_asked_for
    assert len({each.name for each in found.all}) == len(found.all)


def test_those_that_are_named_take_their_place():
    found = read("rope_frequencies:1.02", "value_scale")
    assert found == Directions(
        (Direction("rope_frequencies", 1.02), Direction("value_scale", 1.05)), are_asked_for=True
    )
    assert [each.name for each in found.all] == [
        "direction-rope_frequencies-1.02",
        "direction-value_scale-1.05",
    ]


def test_no_texts_or_no_directions_is_none():
    assert read(no_directions=True) == read(texts=0) == Directions((), are_asked_for=False)


def test_a_name_of_a_computation_has_no_sign():
    assert Direction("value_scale", 1e20).name == "direction-value_scale-1e20"


@pytest.mark.parametrize(
    ("words", "more", "reason"),
    [
        (["value_scale"], {"no_directions": True}, "contradict each other"),
        (["value_scale"], {"texts": 0}, "--direction is told by texts, and --texts 0 leaves them out"),
        (["value_scale:1.05", "value_scale"], {}, "--direction value_scale:1.05 is given twice"),
        (["value"], {}, "unknown fault 'value'"),
        (["value_scale:x"], {}, "is given the strength 'x'"),
        (["value_scale:nan"], {}, "a strength is a finite number"),
        (["double_bos"], {}, "is a fault of what is asked and of what is made of the answer"),
        (["sampling_left_on"], {}, "is a fault of what is asked and of what is made of the answer"),
    ],
)
def test_what_makes_no_sense_is_refused(words, more, reason):
    with pytest.raises(SpecError, match=reason):
        read(*words, **more)
