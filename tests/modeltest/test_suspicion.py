from random import Random

import pytest
from made_answers import sample

from modeltest.api import Finding, FindingCode, Verdict
from modeltest.findings import sentences
from modeltest.plain.contracts import from_plain, to_plain
from modeltest.run.ending.finish import judge
from modeltest.summary import summarize_accuracy
from modeltest.suspicion import suspicions

LETTERS = "ABCD"


def summary(answers, expected, *, choices=4):
    pairs = zip(answers, expected, strict=True)
    samples = [sample(f"s/{i}", answer, expected=right) for i, (answer, right) in enumerate(pairs)]
    return summarize_accuracy(samples, {}, choices=choices)


def codes(found):
    return [each.code for each in suspicions(found)]


def test_a11_accuracy_below_guessing_is_suspect_and_names_the_most_frequent_answers():
    found = summary(["T"] * 1500 + ["1"] * 776 + ["A"] * 4, ["B"] * 2276 + ["A"] * 4)
    (finding,) = suspicions(found)
    assert finding.code == FindingCode.BELOW_GUESSING
    assert finding.values["correct"] == 4
    assert finding.values["questions"] == 2280
    assert finding.values["guess_rate"] == 0.25
    assert finding.values["p_value"] < 1e-200
    assert finding.values["answers"] == ("T", "1", "A")
    assert finding.values["counts"] == (1500, 776, 4)
    verdict, reasons = judge(found, expected_questions=2280)
    assert verdict is Verdict.SUSPECT
    assert reasons == (Finding(FindingCode.WORSE_THAN_GUESSING),)
    assert verdict.exit_status == 0
    (said,) = sentences([finding])
    assert said.startswith("0.18% of 2280 questions are answered right, guessing gives 25.00% (p = ")
    assert "likely wrong; the most frequent answers: 'T', '1', 'A' (1500, 776, 4 times)" in said
    assert from_plain(Finding, to_plain(finding)) == finding


@pytest.mark.parametrize(
    ("correct", "is_suspect"), [(0, True), (11, True), (12, False), (25, False), (100, False)]
)
def test_a11_the_level_is_half_of_one_in_a_thousand(correct, is_suspect):
    # Of 100 questions with 4 choices guessing gets at most 11 with a probability of 0.00039, 12 with 0.00103.
    found = summary(["A"] * correct + ["B"] * (100 - correct), ["A"] * correct + ["D"] * (100 - correct))
    assert (FindingCode.BELOW_GUESSING in codes(found)) is is_suspect


def test_a11_a_run_that_guesses_is_hardly_ever_suspected():
    random = Random(1)
    runs = [summary(random.choices(LETTERS, k=200), random.choices(LETTERS, k=200)) for _ in range(300)]
    assert sum(bool(codes(found)) for found in runs) <= 2


def test_the_guess_rate_is_the_mean_over_questions_and_unknown_where_choices_are():
    two = sample("s/0", "yes", logprobs=(-1.0, -2.0))
    five = sample("s/1", "yes", logprobs=(-1.0, -2.0, -3.0, -4.0, -5.0))
    assert summarize_accuracy([two, five], {}).guess_rate == pytest.approx((1 / 2 + 1 / 5) / 2)
    unknown = summarize_accuracy([two, sample("s/2", "no")], {})
    assert unknown.guess_rate is None
    failed = sample("s/3", None, error="lost")
    assert summarize_accuracy([two, failed], {}).guess_rate == 0.5


def test_a11_nearly_all_answers_alike_are_told_and_leave_the_verdict():
    expected = [LETTERS[number % 4] for number in range(100)]
    found = summary(["A"] * 100, expected)
    assert codes(found) == [FindingCode.ONE_ANSWER]
    assert judge(found, expected_questions=100) == (Verdict.VALID, ())
    (said,) = sentences(suspicions(found))
    assert (
        said == "100 of 100 answers are 'A', which is right in 25: the answers hardly depend on the questions"
    )


def test_answers_that_are_alike_because_they_are_right_are_not_suspected():
    assert codes(summary(["A"] * 100, ["A"] * 100)) == []
    assert codes(summary(["A"] * 40, ["A", "B", "C", "D"] * 10)) == []  # too few to tell
