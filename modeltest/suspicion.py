"""What of a run's answers is suspicious though every question was answered. Pure.

Right answers that guessing would beat say that something is wrong with how the model is asked, not with what
it knows: the prompt, the chat template or the form of the answer. So do answers that hardly depend on the
question. Both are tested exactly, so that a run which guesses, or answers nine times of ten alike, is
suspected by mistake at most once in a thousand.
"""

from __future__ import annotations

from collections.abc import Iterator

from modeltest.api import AccuracySummary, Finding, FindingCode
from modeltest.compare.paired import at_most

RISK = 1e-3
"""Of a false alarm in one run; the two tests share it."""

ONE_ANSWER_SHARE = 0.9
"""More answers than this that are the same are nearly all."""


def suspicions(summary: AccuracySummary) -> Iterator[Finding]:
    """Yield what is suspicious of the answered questions; the others are counted elsewhere."""
    answered = summary.micro.total - summary.failed
    if answered:
        yield from _below_guessing(summary, answered)
        yield from _one_answer(summary, answered)


def _below_guessing(summary: AccuracySummary, answered: int) -> Iterator[Finding]:
    """Test the number of right answers by the binomial distribution of the mean guess rate.

    Where questions have different numbers of choices, guessing right is a Poisson binomial, whose lower tail
    is no heavier than that of the binomial of the mean. Source: W. Hoeffding, "On the distribution of the
    number of successes in independent trials", Annals of Mathematical Statistics 27 (1956), 713-721.
    """
    rate, correct = summary.guess_rate, summary.micro.correct
    if rate is None or not 0 < rate < 1 or correct >= rate * answered:
        return
    p_value = at_most(correct, answered, rate)
    if p_value <= RISK / 2:
        yield Finding(
            FindingCode.BELOW_GUESSING,
            {
                "correct": correct,
                "questions": answered,
                "share": correct / answered,
                "guess_rate": rate,
                "p_value": p_value,
                "answers": tuple(summary.answers),
                "counts": tuple(summary.answers.values()),
            },
        )


def _one_answer(summary: AccuracySummary, answered: int) -> Iterator[Finding]:
    """Test whether one answer is given more often than nine times of ten, and than it is right."""
    if not summary.answers:
        return
    answer, count = max(summary.answers.items(), key=lambda each: each[1])
    share = max(ONE_ANSWER_SHARE, summary.expected_answers.get(answer, 0) / answered)
    if count <= share * answered or share >= 1:
        return
    p_value = at_most(answered - count, answered, 1 - share)  # so few others, or fewer
    if p_value <= RISK / 2:
        yield Finding(
            FindingCode.ONE_ANSWER,
            {
                "answer": answer,
                "count": count,
                "questions": answered,
                "expected": summary.expected_answers.get(answer, 0),
                "p_value": p_value,
            },
        )
