from functools import cache
from math import log, sqrt
from statistics import NormalDist

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modeltest.compare.paired import (
    at_least,
    at_most,
    holm,
    lower_bound,
    mcnemar_p_value,
    paired_interval,
    questions_needed,
)

COUNTS = st.tuples(st.integers(0, 60), st.integers(0, 60), st.integers(0, 400)).map(
    lambda three: (three[0], three[1], sum(three) or 1)
)


@pytest.mark.parametrize(
    ("reference_only", "candidate_only", "p_value"),
    [(0, 0, 1.0), (5, 0, 2 / 32), (1, 5, 2 * (1 + 6) / 64), (3, 3, 1.0), (10, 2, 2 * (1 + 12 + 66) / 4096)],
)
def test_the_exact_test_counts_the_ways_to_part_the_questions(reference_only, candidate_only, p_value):
    assert mcnemar_p_value(reference_only, candidate_only) == pytest.approx(p_value, rel=1e-12)


@given(st.integers(0, 500), st.integers(0, 500))
@settings(max_examples=50)
def test_the_exact_test_is_scipys_binomial_test(reference_only, candidate_only):
    stats = pytest.importorskip("scipy.stats")
    different = reference_only + candidate_only
    expected = stats.binomtest(reference_only, different, 0.5).pvalue if different else 1.0
    assert mcnemar_p_value(reference_only, candidate_only) == pytest.approx(expected, rel=1e-9)


def test_the_exact_test_is_quick_and_right_for_thousands_of_different_answers():
    stats = pytest.importorskip("scipy.stats")
    assert mcnemar_p_value(3200, 3050) == pytest.approx(stats.binomtest(3200, 6250).pvalue, rel=1e-9)


def test_without_a_different_question_the_interval_is_that_of_the_formula():
    z = NormalDist().inv_cdf(0.975)
    found = paired_interval(0, 0, 500, confidence=0.95)
    assert found.high == pytest.approx(z**2 / (500 + z**2), rel=1e-9)
    assert found.high == pytest.approx(0.007624, abs=1e-6), "about 0.76 %: such a run cannot show 0.5 %"
    assert found.low == -found.high


@given(COUNTS)
def test_swapping_the_runs_mirrors_the_interval(counts):
    reference_only, candidate_only, questions = counts
    one = paired_interval(reference_only, candidate_only, questions, confidence=0.95)
    other = paired_interval(candidate_only, reference_only, questions, confidence=0.95)
    assert (one.low, one.high) == (-other.high, -other.low)
    assert mcnemar_p_value(reference_only, candidate_only) == mcnemar_p_value(candidate_only, reference_only)


@given(COUNTS)
def test_the_interval_holds_the_difference_and_stays_in_range(counts):
    reference_only, candidate_only, questions = counts
    found = paired_interval(reference_only, candidate_only, questions, confidence=0.95)
    difference = (candidate_only - reference_only) / questions
    assert -1 <= found.low <= difference + 1e-12
    assert difference - 1e-12 <= found.high <= 1
    wider = paired_interval(reference_only, candidate_only, questions, confidence=0.99)
    assert wider.low <= found.low
    assert found.high <= wider.high


@pytest.mark.parametrize(
    ("reference_only", "candidate_only", "questions"), [(8, 3, 60), (1, 0, 40), (40, 5, 300)]
)
def test_the_ends_are_where_the_score_statistic_of_the_constrained_likelihood_is_z(
    reference_only, candidate_only, questions
):
    optimize = pytest.importorskip("scipy.optimize")
    low = paired_interval(reference_only, candidate_only, questions, confidence=0.95).low

    def loss(share):  # share: probability that only the reference is right, difference held at `low`
        other, equal = share + low, 1 - 2 * share - low
        if min(share, other, equal) <= 0:
            return 1e9
        unchanged = questions - reference_only - candidate_only
        return -(
            reference_only * log(share)
            + (candidate_only * log(other) if candidate_only else 0.0)
            + (unchanged * log(equal) if unchanged else 0.0)
        )

    share = optimize.minimize_scalar(
        loss, bounds=(max(0.0, -low), (1 - low) / 2), method="bounded", options={"xatol": 1e-12}
    ).x
    variance = (2 * share + low - low**2) / questions
    statistic = ((candidate_only - reference_only) / questions - low) / sqrt(variance)
    assert statistic == pytest.approx(1.959964, rel=1e-4)


@pytest.mark.parametrize(
    ("questions", "reference_only", "candidate_only"),
    [(100, 0.01, 0.01), (100, 0.05, 0.05), (500, 0.002, 0.002), (500, 0.02, 0.01), (500, 0.0, 0.01)],
)
def test_the_interval_covers_the_true_difference_as_often_as_it_says(
    questions, reference_only, candidate_only
):
    """Exact: the probabilities of all tables whose interval holds the true difference, added up."""
    stats = pytest.importorskip("scipy.stats")
    true, covered, seen = candidate_only - reference_only, 0.0, 0.0
    model = stats.multinomial(
        questions, [reference_only, candidate_only, 1 - reference_only - candidate_only]
    )
    most = 8 + int(questions * max(reference_only, candidate_only) * 4)
    for b in range(most if reference_only else 1):
        for c in range(most if candidate_only else 1):
            probability = model.pmf([b, c, questions - b - c])
            seen += probability
            if probability > 1e-9:
                found = paired_interval(b, c, questions, confidence=0.95)
                covered += probability * (found.low <= true <= found.high)
    assert seen > 0.9999
    assert covered > 0.93


def test_so_many_questions_are_needed_that_no_different_answer_excludes_the_drop():
    assert questions_needed(0, 0, 24, max_drop=0.005, confidence=0.95) == 539
    assert lower_bound(0, 0, 539, confidence=0.95) > -0.005 > lower_bound(0, 0, 538, confidence=0.95)
    assert questions_needed(3, 2, 500, max_drop=0.0, confidence=0.95) is None


@pytest.mark.parametrize(("reference_only", "candidate_only"), [(1, 0), (3, 2), (40, 40)])
def test_at_the_number_needed_four_of_five_runs_that_got_no_worse_pass(reference_only, candidate_only):
    numpy = pytest.importorskip("numpy")
    needed = questions_needed(reference_only, candidate_only, 500, max_drop=0.005, confidence=0.95)
    share = (reference_only + candidate_only) / 1000
    draws = numpy.random.default_rng(0).multinomial(needed, [share, share, 1 - 2 * share], size=1000)
    bounds = cache(lambda b, c: lower_bound(b, c, needed, confidence=0.95))
    assert 0.75 < sum(bounds(int(b), int(c)) > -0.005 for b, c, _ in draws) / 1000 < 0.86


def test_holm_multiplies_by_what_is_left_and_never_falls():
    found = holm({"a": 0.01, "b": 0.04, "c": 0.03, "d": 0.005})
    assert found == pytest.approx({"a": 0.03, "b": 0.06, "c": 0.06, "d": 0.02})
    assert holm({"a": 0.9, "b": 0.8}) == {"a": 1.0, "b": 1.0}
    assert holm({}) == {}


@given(st.integers(0, 300), st.integers(1, 300), st.sampled_from([0.001, 0.01, 0.5]))
@settings(max_examples=60)
def test_binomial_tails_are_scipys(count, total, share):
    stats = pytest.importorskip("scipy.stats")
    count = min(count, total)
    assert at_most(count, total, share) == pytest.approx(stats.binom.cdf(count, total, share), rel=1e-7)
    assert at_least(count, total, share) == pytest.approx(
        stats.binom.sf(count - 1, total, share), rel=1e-7, abs=1e-200
    )


@pytest.mark.parametrize(("share", "below", "above"), [(0.0, 1.0, 0.0), (1.0, 0.0, 1.0)])
def test_binomial_tails_of_what_never_or_always_happens(share, below, above):
    assert at_most(3, 10, share) == below
    assert at_least(4, 10, share) == above


def test_more_different_questions_than_questions_are_refused():
    with pytest.raises(ValueError, match="4 \\+ 3 different of 6 questions"):
        paired_interval(4, 3, 6, confidence=0.95)
