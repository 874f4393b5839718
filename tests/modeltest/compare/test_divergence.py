from math import exp, inf, log

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from modeltest.compare.divergence import (
    kl_divergence,
    least_kl_divergence,
    meets_criterion,
    normalized,
    token_divergence,
)

LOGPROBS = st.lists(st.floats(-30, 0), min_size=2, max_size=6)


def test_the_divergence_of_two_coins_is_that_of_the_formula():
    expected = 0.5 * log(0.5 / 0.25) + 0.5 * log(0.5 / 0.75)
    assert kl_divergence([log(0.5), log(0.5)], [log(0.25), log(0.75)]) == pytest.approx(expected)


def test_log_probabilities_need_not_sum_to_one():
    """Of all tokens the choices are a few: what matters is how they share what they have."""
    assert kl_divergence([-1.0, -2.0], [-5.0, -6.0]) == pytest.approx(0.0, abs=1e-12)
    shares = [exp(value) for value in normalized([-3.0, -4.0, -5.0])]
    assert sum(shares) == pytest.approx(1.0)


@given(LOGPROBS, st.integers())
def test_the_divergence_is_zero_of_equal_distributions_and_never_negative(reference, seed):
    assert kl_divergence(reference, reference) == 0.0
    assert kl_divergence(reference, list(reversed(reference))) >= 0.0


@given(st.data())
def test_the_divergence_is_scipys(data):
    stats = pytest.importorskip("scipy.stats")
    size = data.draw(st.integers(2, 5))
    p, q = (
        [value / sum(row) for value in row]
        for row in (data.draw(st.lists(st.floats(0.01, 1), min_size=size, max_size=size)) for _ in "pq")
    )
    expected = float(stats.entropy(p, q))
    assert kl_divergence(list(map(log, p)), list(map(log, q))) == pytest.approx(expected, abs=1e-9)


def test_what_the_candidate_rules_out_is_infinitely_far():
    assert kl_divergence([log(0.5), log(0.5)], [0.0, -inf]) == inf
    assert kl_divergence([0.0, -inf], [log(0.5), log(0.5)]) == pytest.approx(log(2))


@pytest.mark.parametrize("logprobs", [[], [-inf, -inf], [float("nan"), 0.0], [inf, 0.0]])
def test_what_is_no_distribution_is_refused(logprobs):
    with pytest.raises(ValueError, match="no distribution"):
        normalized(logprobs)


@example([0.0, 0.0], [-1.125, -28.875])
@given(LOGPROBS, LOGPROBS)
def test_one_token_shows_no_more_than_the_whole_distribution(one, other):
    size = min(len(one), len(other))
    p, q = normalized(one[:size]), normalized(other[:size])
    assert least_kl_divergence(p[0], q[0]) <= kl_divergence(p, q) * (1 + 1e-6) + 1e-9


def test_what_a_nearly_certain_token_leaves_over_keeps_its_digits():
    nearly = normalized([0.0, -30.0])
    assert normalized([-1.125, -31.125]) == nearly
    assert nearly[0] == pytest.approx(-exp(-30.0), rel=1e-12)
    assert least_kl_divergence(log(0.5), nearly[0]) == pytest.approx(0.5 * (30 - 2 * log(2)), rel=1e-6)


def test_a_token_that_is_certain_in_float32_leaves_no_infinity():
    assert least_kl_divergence(-1e-9, 0.0) < 1e-9
    assert 0 < least_kl_divergence(log(0.5), 0.0) < inf


def test_the_criterion_allows_a_few_tokens_in_a_thousand_above_the_lower_threshold():
    rare = [5e-4] * 5 + [1e-5] * 995
    assert meets_criterion(token_divergence(rare, is_whole=True))
    assert not meets_criterion(token_divergence([5e-4, *rare], is_whole=True))
    assert not meets_criterion(token_divergence([1.1e-3] + [0.0] * 999, is_whole=True))
    assert token_divergence([], is_whole=True) is None
