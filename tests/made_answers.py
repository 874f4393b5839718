"""Answers and comparisons made by hand, for the tests of comparisons."""

from collections.abc import Sequence

from modeltest.api import AccuracyComparison, Completion, Flip, PairedTable, Sample, Score
from modeltest.compare.accuracy import paired_accuracy
from modeltest.compare.answers import Answer, read_answers


def sample(
    name: str,
    answer: str | None,
    *,
    expected: str = "yes",
    logprobs: Sequence[float] = (),
    tokens: Sequence[int] = (),
    prompt: str = "p",
    prompt_tokens: Sequence[int] = (1, 2, 3),
    error: str | None = None,
    cut: int = 0,
) -> Sample:
    """Return a scored question; its margin is that of the two best log-probabilities."""
    ordered = sorted(logprobs, reverse=True)
    score = Score(
        name,
        name.partition("/")[0],
        "",
        expected,
        answer,
        None if error else answer == expected,
        ordered[0] - ordered[1] if len(ordered) > 1 else None,
        error=error,
    )
    completion = Completion(
        name,
        text=None,
        prompt_tokens=tuple(prompt_tokens),
        output_tokens=tuple(tokens),
        choice_logprobs=tuple(logprobs),
        cut_prompt_tokens=cut,
        error=error,
    )
    return Sample(score, completion, prompt)


def answers(*samples: Sample) -> dict[str, Answer]:
    return read_answers(samples)


def counted(
    questions: int, reference_only: int, candidate_only: int, *, wide: int | None = None
) -> AccuracyComparison:
    """Return a comparison with so many questions that one run alone got right, each of them a flip."""
    flips = reference_only + candidate_only
    table = PairedTable(questions - flips, reference_only, candidate_only, 0)
    overall = paired_accuracy(table)
    flip = Flip("s/0", "s", "yes", "yes", "no", 1.0, 1.0, False)
    return AccuracyComparison(
        overall=overall,
        subjects={"s": overall},
        questions=questions,
        flips=(flip,) * flips,
        near_tie_flips=None if wide is None else flips - wide,
        wide_flips=wide,
        failed_in_reference=(),
        failed_in_candidate=(),
        failed_in_both=0,
        divergence=None,
        outputs=None,
    )
