import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_answers import answers, sample

from modeltest.compare.accuracy import compare_answers
from modeltest.compare.answers import read_answers

ANSWERS = st.lists(
    st.tuples(st.sampled_from(["yes", "no"]), st.sampled_from(["yes", "no"])), min_size=1, max_size=30
)


def compare(reference, candidate, *, near_tie_margin=0.1):
    return compare_answers(reference, candidate, near_tie_margin=near_tie_margin)


def test_the_table_counts_pairs_by_question():
    found = compare(
        answers(sample("s/0", "yes"), sample("s/1", "yes"), sample("s/2", "no"), sample("s/3", "no")),
        answers(sample("s/3", "no"), sample("s/2", "yes"), sample("s/1", "no"), sample("s/0", "yes")),
    )
    table = found.overall.table
    assert (table.both_right, table.reference_only, table.candidate_only, table.both_wrong) == (1, 1, 1, 1)
    assert [flip.question for flip in found.flips] == ["s/1", "s/2"]
    assert found.overall.difference == 0
    assert found.overall.p_value == 1


def test_two_wrong_answers_that_differ_are_a_flip_and_no_difference_in_accuracy():
    found = compare(answers(sample("s/0", "B", expected="A")), answers(sample("s/0", "C", expected="A")))
    assert len(found.flips) == 1
    assert found.overall.table.both_wrong == 1


def test_a_flip_is_near_a_tie_only_where_both_margins_are_narrow():
    found = compare(
        answers(
            sample("s/0", "yes", logprobs=(-0.65, -0.7)),
            sample("s/1", "yes", logprobs=(-0.65, -0.7)),
            sample("s/2", "yes", logprobs=(-0.1, -2.4)),
        ),
        answers(
            sample("s/0", "no", logprobs=(-0.72, -0.67)),
            sample("s/1", "no", logprobs=(-2.4, -0.1)),
            sample("s/2", "no", logprobs=(-0.7, -0.69)),
        ),
    )
    assert {flip.question: flip.is_near_tie for flip in found.flips} == {
        "s/0": True,
        "s/1": False,
        "s/2": False,
    }
    assert (found.near_tie_flips, found.wide_flips) == (1, 2)
    assert found.flips[-1].question == "s/0", "widest margins first"


def test_without_margins_flips_are_not_sorted_into_near_and_wide():
    found = compare(answers(sample("s/0", "A")), answers(sample("s/0", "B")))
    assert found.wide_flips is None
    assert found.flips[0].is_near_tie is None
    assert found.divergence is None


def test_the_largest_divergence_names_its_question():
    found = compare(
        answers(sample("s/0", "yes", logprobs=(-0.1, -2.4)), sample("s/1", "yes", logprobs=(-0.1, -2.4))),
        answers(sample("s/0", "yes", logprobs=(-0.1, -2.4)), sample("s/1", "no", logprobs=(-2.4, -0.1))),
    )
    assert found.divergence.max_kl_question == "s/1"
    assert found.divergence.median_kl == pytest.approx(found.divergence.max_kl / 2)
    assert found.divergence.max_shift == pytest.approx(2.3)


def test_generated_tokens_are_compared_as_far_as_both_go():
    """An engine may stop as soon as the answer is known."""
    found = compare(
        answers(sample("s/0", "A", tokens=(5, 6, 7)), sample("s/1", "A", tokens=(5, 6))),
        answers(sample("s/0", "A", tokens=(5,)), sample("s/1", "A", tokens=(5, 9, 1))),
    )
    assert (found.outputs.outputs, found.outputs.identical) == (2, 1)
    assert found.outputs.divergent[0].token_index == 1
    assert (found.outputs.divergent[0].reference_token, found.outputs.divergent[0].candidate_token) == (6, 9)


@given(ANSWERS, st.randoms())
def test_the_order_of_the_samples_changes_nothing(rows, random):
    one = [sample(f"s{index % 3}/{index}", first) for index, (first, _) in enumerate(rows)]
    other = [sample(f"s{index % 3}/{index}", second) for index, (_, second) in enumerate(rows)]
    before = compare(read_answers(one), read_answers(other))
    random.shuffle(one)
    random.shuffle(other)
    assert compare(read_answers(one), read_answers(other)) == before


@given(ANSWERS)
def test_swapping_the_runs_changes_the_sign_alone(rows):
    one = answers(*(sample(f"s/{index}", first) for index, (first, _) in enumerate(rows)))
    other = answers(*(sample(f"s/{index}", second) for index, (_, second) in enumerate(rows)))
    there, back = compare(one, other), compare(other, one)
    assert there.overall.difference == -back.overall.difference
    assert there.overall.p_value == back.overall.p_value
    assert (there.overall.interval.low, there.overall.interval.high) == (
        -back.overall.interval.high,
        -back.overall.interval.low,
    )
    assert len(there.flips) == len(back.flips)
