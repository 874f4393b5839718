import pytest
from lm_eval_comparison.agreement import Answer
from lm_eval_comparison.shifts import compare_shifts, larger_than, quantile


def answers(*rows: tuple[float, ...]) -> dict[str, Answer]:
    return {f"law/{number}": Answer(row, "p") for number, row in enumerate(rows)}


def test_shifts_are_those_of_all_choices_and_answers_are_counted() -> None:
    batched = answers((-1.0, -2.0), (-1.0, -1.25))
    found = compare_shifts(answers((-1.5, -2.0), (-1.0, -0.75)), batched, answers((-1.0, -2.0), (-1.0, -1.0)))
    ours, theirs = found.modeltest, found.lm_eval
    assert (ours.choices, ours.median, ours.p90, ours.largest, ours.differing_answers) == (4, 0, 0.5, 0.5, 1)
    assert (theirs.median, theirs.p90, theirs.largest, theirs.differing_answers) == (0, 0.25, 0.25, 0)


def test_the_largest_shift_of_a_question_is_what_is_tested() -> None:
    batched = answers((-1.0, -2.0), (-1.0, -2.0))
    ours = answers((-1.5, -2.0), (-1.0, -2.5))  # 0.5 and 0.5; by choices, half of them are 0
    found = compare_shifts(ours, batched, answers((-1.25, -2.0), (-1.25, -2.0)))
    # Two above two: 1 of the C(4, 2) = 6 orders of four values.
    assert (found.questions, found.distance) == (2, 1.0)
    assert found.p_value == pytest.approx(1 / 6)


def test_shifts_far_above_lm_evals_are_larger_and_equal_or_smaller_ones_are_not() -> None:
    small, large = [float(n) for n in range(20)], [float(n) for n in range(10, 30)]
    assert larger_than(small, small) == (0.0, 1.0)
    assert larger_than(small, large) == (0.0, 1.0)
    distance, p_value = larger_than(large, small)
    assert distance == 0.5
    # C(40, 30) / C(40, 20)
    assert p_value == pytest.approx(847_660_528 / 137_846_528_820)


def test_the_test_needs_as_many_shifts_of_each() -> None:
    with pytest.raises(ValueError, match="2 and 1 shifts"):
        larger_than([0.1, 0.2], [0.1])


@pytest.mark.parametrize(("share", "value"), [(0.5, 2), (0.9, 4), (1.0, 4), (0.01, 1)])
def test_a_quantile_is_one_of_the_values(share: float, value: int) -> None:
    assert quantile([1, 2, 3, 4], share) == value
