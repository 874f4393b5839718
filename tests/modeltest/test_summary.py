"""Headline numbers from hand-made samples."""

import hashlib
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modeltest.api import Completion, FrequentFailure, Sample, Score
from modeltest.summary import summarize_accuracy

CARD = {
    "physics": {"category": "STEM", "hard": "true"},
    "maths": {"category": "STEM", "hard": "false"},
    "logic": {"category": "Humanities"},
}


def sample(
    subject: str,
    number: int,
    correct: bool | None,
    *,
    margin: float | None = None,
    completion: Completion | None = None,
    **marks: bool | str,
) -> Sample:
    request_id = f"{subject}/{number}"
    category = CARD.get(subject, {}).get("category", "")
    score = Score(request_id, subject, category, "A", correct=correct, margin=margin, **marks)
    return Sample(score, completion or Completion(request_id), f"digest of {request_id}")


def four_samples() -> list[Sample]:
    return [
        sample("physics", 0, True),
        sample("physics", 1, False),
        sample("physics", 2, None),
        sample("logic", 0, True),
    ]


def test_micro_is_over_all_questions_and_macro_over_subjects():
    summary = summarize_accuracy(four_samples(), CARD)
    assert (summary.micro.correct, summary.micro.total, summary.micro.accuracy) == (2, 4, 0.5)
    assert summary.macro == pytest.approx((1 / 3 + 1) / 2)


def test_failed_requests_stay_in_every_denominator_and_are_counted_apart():
    summary = summarize_accuracy(four_samples(), CARD, groups={"Hard": "hard"})
    assert summary.failed == 1
    assert summary.subjects["physics"].total == 3
    assert summary.categories["STEM"].total == 3
    assert summary.groups["Hard"].total == 3


def test_subjects_and_categories_are_in_the_order_of_the_card():
    samples = [sample("logic", 0, True), sample("other", 0, True), sample("maths", 0, True), *four_samples()]
    summary = summarize_accuracy(samples[:3] + four_samples()[:1], CARD)
    assert list(summary.subjects) == ["physics", "maths", "logic", "other"]
    assert list(summary.categories) == ["STEM", "Humanities"]
    assert summary.categories["STEM"].total == 2


def test_subject_of_the_card_that_was_not_asked_is_not_reported():
    assert "maths" not in summarize_accuracy(four_samples(), CARD).subjects


def test_group_holds_the_subjects_whose_field_is_true():
    samples = [*four_samples(), sample("maths", 0, True)]
    summary = summarize_accuracy(samples, CARD, groups={"Hard": "hard", "Absent": "easy"})
    assert {title: (p.correct, p.total) for title, p in summary.groups.items()} == {"Hard": (1, 3)}


def test_no_answer_and_truncated_are_counted():
    samples = [
        sample("logic", 0, False, no_answer=True),
        sample("logic", 1, False, no_answer=True),
        sample("logic", 2, False, truncated=True),
        sample("logic", 3, True),
    ]
    summary = summarize_accuracy(samples, CARD)
    assert (summary.no_answer, summary.truncated, summary.failed) == (2, 1, 0)
    assert summary.micro.accuracy == 0.25


def test_dropped_shots_are_summed_and_cut_prompts_counted():
    samples = [
        sample("logic", 0, True, completion=Completion("logic/0", dropped_shots=2)),
        sample("logic", 1, True, completion=Completion("logic/1", dropped_shots=5, cut_prompt_tokens=40)),
        sample("logic", 2, True, completion=Completion("logic/2", cut_prompt_tokens=1)),
    ]
    summary = summarize_accuracy(samples, CARD)
    assert (summary.dropped_shots, summary.cut_prompts) == (7, 2)


def test_nothing_else_of_a_failed_completion_is_counted():
    completion = Completion("logic/0", dropped_shots=2, cut_prompt_tokens=9, error="lost")
    summary = summarize_accuracy([sample("logic", 0, None, margin=0.0, completion=completion)], CARD)
    assert (summary.failed, summary.dropped_shots, summary.cut_prompts) == (1, 0, 0)


def test_b4_the_most_frequent_reason_of_failure_is_counted():
    reasons = ["no room", "merges", "merges", "out of memory"]
    samples = [sample("logic", number, None, error=reason) for number, reason in enumerate(reasons)]
    assert summarize_accuracy(samples, CARD).frequent_failure == FrequentFailure("merges", 2)
    assert summarize_accuracy(samples[:2], CARD).frequent_failure == FrequentFailure("merges", 1)
    assert summarize_accuracy([sample("logic", 0, True)], CARD).frequent_failure is None


def test_near_ties_are_left_to_who_knows_the_dtype():
    summary = summarize_accuracy([sample("logic", 1, False, margin=0.0)], CARD)
    assert (summary.near_ties, summary.near_tie_margin) == ((), 0.0)


def test_prompts_digest_is_the_sum_over_the_samples_in_any_order():
    samples = [sample("b", 0, True), sample("a", 0, True)]
    digests = [hashlib.sha256(line).hexdigest() for line in (b"a/0 digest of a/0", b"b/0 digest of b/0")]
    expected = f"{sum(int(digest, 16) for digest in digests) % 2**256:064x}"
    assert summarize_accuracy(samples, CARD).prompts_sha256 == expected
    assert summarize_accuracy(samples[::-1], CARD).prompts_sha256 == expected


def test_no_samples_have_no_accuracy():
    summary = summarize_accuracy([], CARD, groups={"Hard": "hard"})
    assert (summary.micro.total, summary.micro.accuracy, summary.macro) == (0, None, None)
    assert (summary.subjects, summary.categories, summary.groups) == ({}, {}, {})
    assert summary.prompts_sha256 == "0" * 64


def test_samples_are_read_once():
    assert summarize_accuracy(iter(four_samples()), CARD).micro.total == 4


@given(
    st.lists(st.tuples(st.sampled_from([*CARD, "other"]), st.sampled_from([True, False, None])), max_size=30),
    st.randoms(use_true_random=False),
)
def test_summary_does_not_depend_on_the_order_of_completion(rows, shuffler: random.Random):
    samples = [sample(subject, number, correct) for number, (subject, correct) in enumerate(rows)]
    shuffled = samples.copy()
    shuffler.shuffle(shuffled)
    first = summarize_accuracy(samples, CARD, groups={"Hard": "hard"})
    second = summarize_accuracy(shuffled, CARD, groups={"Hard": "hard"})
    assert first == second
    assert list(first.subjects) == list(second.subjects)
    assert first.micro.total == sum(p.total for p in first.subjects.values()) == len(rows)
    assert first.micro.correct == sum(p.correct for p in first.subjects.values())
