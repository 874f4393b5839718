from math import log

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modeltest.compare.outputs import Output, OutputPair, compare_outputs, first_divergence

TOKENS = st.lists(st.integers(0, 3), max_size=8)


@given(TOKENS, TOKENS)
def test_outputs_are_equal_up_to_the_first_divergence_and_not_there(one, other):
    index = first_divergence(one, other)
    assert first_divergence(other, one) == index
    if index is None:
        assert one == other
    else:
        assert one[:index] == other[:index]
        assert one[index : index + 1] != other[index : index + 1]


def test_an_output_that_ends_earlier_parts_there():
    found = compare_outputs([OutputPair("p", Output((1, 2)), Output((1, 2, 3)))])
    (parted,) = found.divergent
    assert (parted.token_index, parted.reference_token, parted.candidate_token) == (2, None, 3)


def test_distributions_count_up_to_and_with_the_token_that_differs():
    even, uneven = (log(0.5), log(0.5)), (log(0.25), log(0.75))
    reference = Output((0, 0, 0), distributions=(even, even, even))
    candidate = Output((0, 1, 1), distributions=(even, uneven, uneven))
    found = compare_outputs([OutputPair("p", reference, candidate)]).divergence
    assert found.is_whole
    assert found.tokens == 2
    assert found.max_kl == pytest.approx(0.143841)


def test_log_probabilities_of_tokens_count_as_far_as_both_said_the_same():
    reference = Output((0, 0), logprobs=(-0.5, -0.5))
    found = compare_outputs([OutputPair("p", reference, Output((0, 1), logprobs=(-0.6, -0.5)))]).divergence
    assert not found.is_whole
    assert found.tokens == 1


def test_nothing_to_compare_is_no_agreement():
    assert compare_outputs([]) is None
