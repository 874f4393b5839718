import pytest
from made_answers import sample

from modeltest.near_ties import NearTies
from modeltest.summary import summarize_accuracy


def margins(**by_name):
    return [
        sample(f"s/{name}", "yes", logprobs=() if margin is None else (0.0, -margin))
        for name, margin in by_name.items()
    ]


def test_near_ties_are_margins_below_the_limit_sorted_by_id():
    samples = NearTies(margins(d=0.049, a=0.0, c=0.05, b=None), margin=0.05)
    summary = samples.noted_in(summarize_accuracy(samples, {}))
    assert summary.near_ties == ("s/a", "s/d")
    assert summary.near_tie_margin == 0.05
    assert summary.micro.total == 4


def test_a_failed_question_is_no_near_tie():
    samples = NearTies([sample("s/0", "yes", error="lost", logprobs=(0.0, 0.0))], margin=0.05)
    assert samples.noted_in(summarize_accuracy(samples, {})).near_ties == ()


def test_samples_may_be_gone_through_twice():
    samples = NearTies(margins(a=0.01, b=1.0), margin=0.05)
    assert list(samples) == list(samples)
    assert samples.noted_in(summarize_accuracy([], {})).near_ties == ("s/a",)


@pytest.mark.parametrize(("margin", "found"), [(0.001, 1), (0.05, 2), (0.3, 3), (0.5, 4)])
def test_a_coarser_dtype_has_more_of_them(margin, found):
    samples = NearTies(margins(a=0.0009, b=0.04, c=0.29, d=0.4, e=0.5), margin=margin)
    assert len(samples.noted_in(summarize_accuracy(samples, {})).near_ties) == found
