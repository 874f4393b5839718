"""Accuracy: questions that were answered right, by subject and altogether."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from modeltest.api import AccuracySummary, Finding, FindingCode, FlatMetric, Proportion, RunResult, Verdict
from modeltest.present.cells import accuracy
from modeltest.present.presentation import Check, Column, IntervalCell, Level, Phrase, Presentation, Row

COUNTED = ("no_answer", "truncated", "dropped_shots", "cut_prompts")
"""What is counted of the questions, beside those that failed."""

_NAMED_ERRORS = 5


class AccuracyPresentation(Presentation[AccuracySummary]):
    """What is shown of an accuracy run."""

    kind = "accuracy"
    summary = AccuracySummary
    unit = "questions"
    columns = tuple(map(Column, ("subject", "right", "questions", "accuracy", "95 % interval")))

    def headline(self, summary: AccuracySummary) -> str:
        """Return the accuracy over all questions."""
        return f"accuracy {accuracy(summary.micro)} ({summary.micro.correct}/{summary.micro.total})"

    def gist(self, summary: AccuracySummary) -> Sequence[Phrase]:
        """Return the accuracy with its interval."""
        micro = summary.micro
        interval = "" if micro.low is None else f" ({micro.low:.2%} .. {micro.high:.2%})"
        right = f"{interval}: {micro.correct} of {micro.total} right"
        return (Phrase(f"accuracy {accuracy(micro)}", is_key=True), Phrase(right))

    def rows(self, summary: AccuracySummary) -> Iterator[Row]:
        """Yield subjects and groups of them where there are several, the whole, and what is counted."""
        groups = (*summary.categories.items(), *summary.groups.items())
        if len(groups) > 1:
            yield from (_row(name, proportion, Level.GROUP) for name, proportion in groups)
        if len(summary.subjects) > 1:
            yield from (_row(name, found, Level.PART) for name, found in summary.subjects.items())
        yield _row("all questions", summary.micro, Level.WHOLE)
        if len(summary.subjects) > 1 and summary.macro is not None:
            yield Row(("mean of subjects", "", "", f"{summary.macro:.2%}", ""), Level.COUNT)
        for name in ("failed", *COUNTED):
            if count := getattr(summary, name):
                yield Row((name.replace("_", " "), "", str(count), "", ""), Level.COUNT)
        if summary.near_ties:
            name = f"near-ties (margin < {summary.near_tie_margin:g})"
            yield Row((name, "", str(len(summary.near_ties)), "", ""), Level.COUNT)

    def checks(self, summary: AccuracySummary, result: RunResult) -> Iterator[Check]:
        """Yield the subjects: one with questions that failed is an error, wrong answers are none."""
        errors = _errors_by_subject(result) if summary.failed else {}
        for subject, proportion in summary.subjects.items():
            yield _check(subject, proportion, errors.get(subject, []))

    def metrics(self, summary: AccuracySummary, *, is_usable: bool) -> Iterator[FlatMetric]:
        """Yield accuracies and counts; those of what went wrong are always there."""
        yield _metric("", summary.micro, is_usable)
        yield FlatMetric("accuracy_macro", summary.macro if is_usable else None)
        parts: tuple[tuple[str, Mapping[str, Proportion]], ...] = (
            ("subject", summary.subjects),
            ("category", summary.categories),
            ("group", summary.groups),
        )
        for kind, proportions in parts:
            for name, proportion in proportions.items():
                yield _metric(f"{kind}.{name}", proportion, is_usable)
        yield FlatMetric("questions", summary.micro.total)
        yield FlatMetric("failed_questions", summary.failed)
        for name in COUNTED:
            yield FlatMetric(name, getattr(summary, name))
        yield FlatMetric("near_ties", len(summary.near_ties))

    def failed_questions(self, summary: AccuracySummary) -> int:
        """Return how many failed."""
        return summary.failed

    def judgement(
        self, summary: AccuracySummary, *, expected_questions: int | None, findings: frozenset[str]
    ) -> tuple[Verdict, tuple[Finding, ...]]:
        """Return INVALID where questions failed or were not asked, SUSPECT where guessing does better."""
        total = summary.micro.total
        if not total:
            return Verdict.INVALID, (Finding(FindingCode.NO_QUESTION_ASKED),)
        reasons = []
        if expected_questions is not None and total != expected_questions:
            asked = {"asked": total, "expected": expected_questions}
            reasons.append(Finding(FindingCode.QUESTIONS_CUT_SHORT, asked))
        if summary.failed:
            reasons.append(_of_failures(summary))
        if reasons:
            return Verdict.INVALID, tuple(reasons)
        if FindingCode.BELOW_GUESSING in findings:
            return Verdict.SUSPECT, (Finding(FindingCode.WORSE_THAN_GUESSING),)
        return Verdict.VALID, ()


def _row(name: str, proportion: Proportion, level: Level) -> Row:
    counts = (str(proportion.correct), str(proportion.total))
    return Row((name, *counts, accuracy(proportion), IntervalCell(proportion)), level)


def _errors_by_subject(result: RunResult) -> dict[str, list[str]]:
    """Return what the failed questions say, by subject."""
    errors: dict[str, list[str]] = {}
    for sample in result.samples:
        if sample.score.error is not None:
            text = f"{sample.score.request_id}: {sample.score.error}"
            errors.setdefault(sample.score.subject, []).append(text)
    return errors


def _check(subject: str, proportion: Proportion, errors: Sequence[str]) -> Check:
    output = f"{proportion.correct} of {proportion.total} right: {accuracy(proportion)}"
    if not errors:
        return Check(subject, output)
    more = len(errors) - _NAMED_ERRORS
    named = "\n".join(errors[:_NAMED_ERRORS]) + (f"\nand {more} more" if more > 0 else "")
    return Check(subject, output, error=f"{len(errors)} of {proportion.total} questions failed\n{named}")


def _metric(case: str, proportion: Proportion, is_usable: bool) -> FlatMetric:
    metric = FlatMetric("accuracy", None, case)
    if not is_usable:
        return metric
    return replace(metric, value=proportion.accuracy, low=proportion.low, high=proportion.high)


def _of_failures(summary: AccuracySummary) -> Finding:
    frequent = summary.frequent_failure
    return Finding(
        FindingCode.QUESTIONS_FAILED,
        {
            "failed": summary.failed,
            "questions": summary.micro.total,
            "frequent": frequent.count if frequent else None,
            "reason": frequent.reason if frequent else None,
        },
    )
