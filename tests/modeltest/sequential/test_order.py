"""The order of questions depends on nothing but seed and ids."""

import random
import subprocess
import sys
from hashlib import sha256
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modeltest.sequential import Window, draw_order, windows

GOLDEN = tuple(f"mmlu/{n}" for n in (3, 4, 2, 7, 0, 6, 5, 1))
IDS = st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=8), unique=True, max_size=40)


@given(IDS, st.integers(0, 2**64), st.randoms())
def test_an_order_is_a_permutation_that_forgets_how_the_ids_were_given(ids, seed, source):
    order = draw_order(ids, seed)
    assert sorted(order) == sorted(ids)
    shuffled = list(ids)
    source.shuffle(shuffled)
    assert draw_order(shuffled, seed) == order


def test_the_order_is_written_down_here_for_other_platforms():
    order = draw_order([f"mmlu/{n}" for n in range(8)], 15)
    assert order == GOLDEN
    by_hand = sorted(GOLDEN, key=lambda each: sha256(b"15\0" + each.encode()).hexdigest())
    assert list(order) == by_hand


def test_another_process_with_other_hashes_draws_the_same():
    code = (
        "from modeltest.sequential import draw_order; print(*draw_order([f'mmlu/{n}' for n in range(8)], 15))"
    )
    found = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env={"PYTHONHASHSEED": "7"}
    )
    assert tuple(found.stdout.split()) == GOLDEN


def test_another_seed_is_another_order():
    ids = [str(n) for n in range(50)]
    assert draw_order(ids, 1) != draw_order(ids, 2)


def test_each_question_comes_first_equally_often():
    """3,000 seeds, 6 ids: 500 each, with a standard deviation of 20."""
    ids = [f"q{n}" for n in range(6)]
    firsts = [draw_order(ids, seed)[0] for seed in range(3_000)]
    assert all(abs(firsts.count(each) - 500) < 100 for each in ids)


def test_an_id_that_is_there_twice_is_refused():
    with pytest.raises(ValueError, match="must be unique; b is there"):
        draw_order(["a", "b", "b"], 1)


def test_a_window_is_asked_sorted_and_taken_as_drawn():
    window = Window(("c", "a", "b"))
    assert window.asked({"a": (2, 1), "b": (1, 5), "c": (1, 5)}) == ("b", "c", "a")
    assert list(window.in_drawn_order({"a": 1, "b": 2, "c": 3})) == [3, 1, 2]
    with pytest.raises(KeyError):
        list(window.in_drawn_order({"a": 1}))


def test_windows_hold_all_in_order():
    assert [each.drawn for each in windows("abcde", 2)] == [("a", "b"), ("c", "d"), ("e",)]
    with pytest.raises(ValueError, match="at least one question, not 0"):
        list(windows("ab", 0))


def test_neighbours_of_the_drawn_order_are_as_unrelated_as_those_of_a_shuffle():
    ids = list(range(2_000))
    order = [int(each) for each in draw_order([str(each) for each in ids], 3)]
    shuffled = list(ids)
    random.Random(3).shuffle(shuffled)

    def distance(values):
        return sum(abs(a - b) for a, b in pairwise(values)) / len(values)

    assert distance(order) == pytest.approx(2_000 / 3, rel=0.05)
    assert distance(shuffled) == pytest.approx(2_000 / 3, rel=0.05)
