from dataclasses import dataclass

import pytest

from modeltest.shifts.answers import LEAST_CUT, MAX_DROP, least_telling_drop, near_tie_cut


@dataclass(frozen=True)
class Answer:
    logprobs: tuple[float, ...]
    predicted: str | None
    correct: bool | None

    @property
    def margin(self):
        best, second = sorted(self.logprobs, reverse=True)[:2] if self.logprobs else (None, None)
        return None if best is None else best - second


def answer(lead, *, correct=True):
    return Answer((lead, 0.0), "yes" if lead > 0 else "no", correct)


def test_near_ties_reach_to_six_times_what_rounding_does_to_margins():
    reference = {"a": answer(5.0), "b": answer(5.0)}
    assert near_tie_cut(reference, [{"a": answer(5.3), "b": answer(4.9)}]) == pytest.approx(
        6 * (0.1 / 2) ** 0.5
    )


def test_near_ties_reach_to_twice_the_widest_margin_that_a_twin_flipped():
    reference = {"a": answer(1.0), **{f"b{each}": answer(5.0) for each in range(999)}}
    twin = {**reference, "a": answer(-1.0)}
    assert near_tie_cut(reference, [twin]) == 2.0


def test_without_margins_or_twins_hardly_anything_is_a_near_tie():
    assert near_tie_cut({"a": answer(1.0)}, []) == LEAST_CUT
    generated = {"a": Answer((), "7", True)}
    assert near_tie_cut(generated, [generated]) == LEAST_CUT


def test_a_twin_that_changes_nothing_leaves_the_usual_drop():
    reference = {f"q{each}": answer(1.0) for each in range(100)}
    assert least_telling_drop(reference, [reference], questions=100) == MAX_DROP
    assert least_telling_drop(reference, [], questions=100) == MAX_DROP


def test_the_drop_that_tells_grows_with_what_a_twin_changes():
    reference = {f"q{each}": answer(1.0) for each in range(100)}
    twin = {**reference, "q0": answer(-1.0, correct=False)}
    scatter = ((1 + 2 + 2) / 100 * (1 / 100 + 1 / 100)) ** 0.5
    assert least_telling_drop(reference, [twin], questions=100) == pytest.approx(3.5 * scatter + 0.01)
