from dataclasses import dataclass

import pytest

from modeltest.shifts.answers import (
    LEAST_CUT,
    MAX_DROP,
    MOST_DROP,
    DropLimits,
    drop_limits,
    least_telling_drop,
    near_tie_cut,
)


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


def lost_and_won(questions, lost, won):
    """Return a reference that answers half rightly, and a twin that loses and wins some of that."""
    reference = {f"q{each}": answer(1.0, correct=each % 2 == 0) for each in range(questions)}
    changed = {
        **{f"q{2 * each}": answer(-1.0, correct=False) for each in range(lost)},
        **{f"q{2 * each + 1}": answer(-1.0, correct=True) for each in range(won)},
    }
    return reference, {**reference, **changed}


def test_a_drop_that_was_asked_for_both_passes_and_fails_whatever_the_twins_tell():
    reference, twin = lost_and_won(100, 5, 5)
    assert drop_limits(reference, [twin], questions=100, asked=0.2) == DropLimits(0.2, 0.2)
    assert drop_limits(reference, [], questions=100) == DropLimits(MAX_DROP, MAX_DROP)


def test_what_a_small_twin_cannot_tell_neither_passes_nor_fails():
    reference, twin = lost_and_won(100, 5, 5)
    most = (10 + 2 * 10**0.5 + 2) / 100
    found = drop_limits(reference, [twin], questions=100)
    assert found.passing == MOST_DROP
    assert found.failing == pytest.approx(3.5 * (most * 2 / 100) ** 0.5)  # 21 points
    assert found.is_wide


def test_so_many_questions_tell_five_points_from_rounding_and_one_fewer_does_not():
    reference, twin = lost_and_won(100, 5, 5)
    needed = drop_limits(reference, [twin], questions=100).needed

    def told(questions):  # a tenth of them changes, as many lost as won
        changed = 0.1 * questions
        return 3.5 * ((changed + 2 * changed**0.5 + 2) / questions * 2 / questions) ** 0.5

    assert told(needed) <= MOST_DROP < told(needed - 1)


def test_no_number_of_questions_tells_where_the_twin_itself_loses_as_much():
    reference, twin = lost_and_won(100, 6, 0)
    assert drop_limits(reference, [twin], questions=100).needed is None


def test_of_several_twins_the_one_that_tells_least_says_how_many_questions_it_takes():
    reference, much = lost_and_won(100, 5, 5)
    _, little = lost_and_won(100, 1, 1)
    both, one = (drop_limits(reference, twins, questions=100) for twins in ([little, much], [much]))
    assert both == one
