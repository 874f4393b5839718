"""Only what a rank of this run has sealed, about this very thing, is read."""

import json
import math
import pickle
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modeltest.api import EngineError, PrerequisiteError, RankMessageRefused
from modeltest.machine.rank_messages import (
    SECRET_VARIABLE,
    Seal,
    fresh_secret,
    seal_of_ranks,
    shared_secret,
)


@dataclass(frozen=True)
class Said:
    text: str
    ids: tuple[int, ...] = ()
    value: float | None = None


SEAL = Seal("a secret of the test's")


@given(st.text(), st.lists(st.integers(0, 2**40)), st.none() | st.floats(allow_nan=False))
def test_what_is_opened_is_what_was_closed(text, ids, value):
    said = Said(text, tuple(ids), value)
    assert SEAL.open(SEAL.close(said, about="it"), Said, about="it") == said


def test_numbers_that_are_none_survive():
    back = SEAL.open(SEAL.close(Said("", (), math.nan), about="it"), Said, about="it")
    assert math.isnan(back.value)


@given(st.binary(max_size=80))
def test_c1_anything_else_is_refused_unread(sealed):
    with pytest.raises(RankMessageRefused, match=f"{len(sealed)} bytes, refused unread"):
        SEAL.open(sealed, Said, about="it")


@given(st.integers(0), st.integers(0, 7))
def test_c1_a_single_changed_bit_is_refused(at, bit):
    sealed = bytearray(SEAL.close(Said("yes"), about="it"))
    sealed[at % len(sealed)] ^= 1 << bit
    with pytest.raises(RankMessageRefused):
        SEAL.open(bytes(sealed), Said, about="it")


def test_c1_a_message_holds_for_its_place_and_its_secret_alone():
    sealed = SEAL.close(Said("yes"), about="number 1")
    for seal, about in ((SEAL, "number 2"), (Seal("another secret"), "number 1")):
        with pytest.raises(RankMessageRefused):
            seal.open(sealed, Said, about=about)


def test_c1_what_a_message_is_about_cannot_run_into_its_text():
    sealed = SEAL.close("b", about="a")
    with pytest.raises(RankMessageRefused):
        SEAL.open(sealed[:32] + sealed[33:], str, about='a"')


@pytest.mark.parametrize("value", [{"text": 1}, {"text": "a", "more": 1}, {}, [], None, "a"], ids=str)
def test_c1_another_shape_is_refused(value):
    with pytest.raises(RankMessageRefused, match="what came as 'it' has another shape"):
        SEAL.open(SEAL.close(value, about="it"), Said, about="it")


@pytest.mark.parametrize(
    "text", [b"", b"{", b"[" * 100_000, pickle.dumps(1)], ids=["none", "half", "deep", "pickle"]
)
def test_c1_what_is_sealed_and_no_json_is_refused(text):
    sealed = SEAL._code(text, "it") + text
    with pytest.raises(RankMessageRefused):
        SEAL.open(sealed, Said, about="it")


def test_a_derived_secret_is_of_its_purpose_and_tokens():
    derived = {
        SEAL.derived(purpose, tokens) for purpose in ("one", "two") for tokens in ((), ("a", "b"), ("ab",))
    }
    assert len(derived) == 6
    assert SEAL.derived("one", ["a"]) == Seal("a secret of the test's").derived("one", ("a",))
    assert SEAL.derived("one", ()) not in json.dumps("a secret of the test's")


def test_a_fresh_secret_is_another_each_time():
    assert len({fresh_secret() for _ in range(9)}) == 9
    assert len(fresh_secret()) == 64


@pytest.mark.parametrize(
    ("variables", "state"),
    [
        ({}, "is not set"),
        ({SECRET_VARIABLE: ""}, "is not set"),
        ({SECRET_VARIABLE: "a" * 15}, "has 15 characters"),
    ],
    ids=["none", "empty", "short"],
)
def test_c1_nodes_need_a_secret(variables, state):
    with pytest.raises(PrerequisiteError, match=f"the 3 nodes .* MODELTEST_RANK_SECRET {state}"):
        shared_secret(variables, 3)
    with pytest.raises(EngineError, match=r"start several ranks with modeltest or run\.sh"):
        seal_of_ranks(variables)


def test_a_secret_of_sixteen_characters_will_do():
    assert shared_secret({SECRET_VARIABLE: "a" * 16}, 2) == "a" * 16
