"""Acceptance: the decision on a port, and the tests that it rests on; and answers to a pack, unjudged."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence

from modeltest.api import (
    AcceptanceSummary,
    AnswersSummary,
    Decision,
    Finding,
    FindingCode,
    FlatMetric,
    Leaning,
    RunResult,
    TestEvidence,
    Verdict,
)
from modeltest.findings import sentences
from modeltest.present.presentation import Check, Column, Level, Outcome, Phrase, Presentation, Row

_TONES = {
    Decision.ACCEPT: Verdict.VALID,
    Decision.UNDECIDED: Verdict.NOISY,
    Decision.REJECT: Verdict.INVALID,
}


class AcceptancePresentation(Presentation[AcceptanceSummary]):
    """What is shown of `modeltest accept`."""

    kind = "acceptance"
    summary = AcceptanceSummary
    unit = "questions"
    columns = (
        *map(Column, ("test", "of", "says", "found", "limit")),
        Column("asked", is_brief=False),
        Column("evidence against", is_brief=False),
        Column("evidence for", is_brief=False),
    )

    def headline(self, summary: AcceptanceSummary) -> str:
        """Return the decision and what it took."""
        cost = summary.cost
        return (
            f"{summary.decision.value} after {cost.questions} of {cost.questions_of} questions and "
            f"{cost.texts} of {cost.texts_of} texts"
        )

    def gist(self, summary: AcceptanceSummary) -> Sequence[Phrase]:
        """Return the decision, what it took and how often it is wrong."""
        cost = summary.cost
        return (
            Phrase(summary.decision.value, is_key=True),
            Phrase(
                f": {cost.questions} of {cost.questions_of} questions and {cost.texts} of {cost.texts_of} "
                f"texts ({cost.scored_tokens} tokens) asked; a port at a limit is accepted with at most "
                f"{summary.risk_of_wrong_accept:.2%}, a correct one rejected with at most "
                f"{summary.risk_of_wrong_reject:.2%}"
            ),
        )

    def rows(self, summary: AcceptanceSummary) -> Iterator[Row]:
        """Yield the tests, then the decision."""
        for test in summary.tests:
            yield Row(
                (
                    test.name,
                    test.of,
                    test.leaning.value,
                    _number(test.value),
                    _number(test.limit),
                    f"{test.asked} of {test.population}",
                    f"{test.log_evidence_against:+.2f}",
                    f"{test.log_evidence_for:+.2f}",
                )
            )
        yield Row(("decision", "", summary.decision.value, "", "", "", "", ""), Level.WHOLE)

    def remarks(self, summary: AcceptanceSummary) -> Iterator[str]:
        """Yield what was not tested."""
        yield from (f"not tested: {lost}" for lost in summary.not_run)

    def outcome(self, summary: AcceptanceSummary) -> Outcome:
        """Return the decision with its reasons, and what to do next."""
        following = tuple(_next(summary))
        return Outcome(
            summary.decision.value,
            _TONES[summary.decision],
            (*summary.reasons, *sentences(following)),
            (*summary.reason_codes, *following),
        )

    def checks(self, summary: AcceptanceSummary, result: RunResult) -> Iterator[Check]:
        """Yield the tests, and the decision as one of its own."""
        for test in summary.tests:
            yield _check(test)
        said = "; ".join(summary.reasons)
        is_good = summary.decision is Decision.ACCEPT
        yield Check(
            "decision", self.headline(summary), failure=None if is_good else said or summary.decision.value
        )

    def metrics(self, summary: AcceptanceSummary, *, is_usable: bool) -> Iterator[FlatMetric]:
        """Yield the decision as 1 or 0, what was asked, and the evidence of each test."""
        usable = is_usable and summary.decision is not Decision.UNDECIDED
        yield FlatMetric("accepted", float(summary.decision is Decision.ACCEPT) if usable else None)
        yield FlatMetric("asked_questions", summary.cost.questions)
        yield FlatMetric("asked_texts", summary.cost.texts)
        yield FlatMetric("failed_questions", summary.failed)
        for test in summary.tests:
            value = test.log_evidence_against if is_usable and test.leaning is not Leaning.NOT_RUN else None
            yield FlatMetric("evidence_against", value, f"{test.name}.{test.of}")

    def judgement(
        self, summary: AcceptanceSummary, *, expected_questions: int | None, findings: frozenset[str]
    ) -> tuple[Verdict, tuple[Finding, ...]]:
        """Return INVALID where nothing was answered; what was decided is the decision's."""
        is_asked = summary.cost.questions or summary.cost.texts
        if summary.decision is Decision.UNDECIDED and not is_asked:
            return Verdict.INVALID, (Finding(FindingCode.NO_ANSWER_TO_PACK),)
        return Verdict.VALID, ()


class AnswersPresentation(Presentation[AnswersSummary]):
    """What is shown of the answers of one computation to a pack."""

    kind = "answers"
    summary = AnswersSummary
    unit = "questions"
    columns = tuple(map(Column, ("", "questions and texts")))

    def headline(self, summary: AnswersSummary) -> str:
        """Return how many were answered."""
        return f"{summary.answered} of {summary.expected} questions and texts answered"

    def gist(self, summary: AnswersSummary) -> Sequence[Phrase]:
        """Return how many were answered."""
        return (Phrase(self.headline(summary), is_key=True),)

    def rows(self, summary: AnswersSummary) -> Iterator[Row]:
        """Yield the counts."""
        yield Row(("answered", str(summary.answered)), Level.WHOLE)
        yield Row(("failed", str(summary.failed)), Level.COUNT)

    def checks(self, summary: AnswersSummary, result: RunResult) -> Iterator[Check]:
        """Yield one check."""
        error = f"{summary.failed} failed" if summary.failed else None
        yield Check("answers", self.headline(summary), error=error)

    def metrics(self, summary: AnswersSummary, *, is_usable: bool) -> Iterator[FlatMetric]:
        """Yield the counts."""
        yield FlatMetric("asked_questions", summary.answered + summary.failed)
        yield FlatMetric("failed_questions", summary.failed)

    def judgement(
        self, summary: AnswersSummary, *, expected_questions: int | None, findings: frozenset[str]
    ) -> tuple[Verdict, tuple[Finding, ...]]:
        """Return INVALID where an answer is missing or failed: a pack must not be made of it."""
        reasons = []
        asked = summary.answered + summary.failed
        if asked != summary.expected:
            reasons.append(
                Finding(FindingCode.PACK_CUT_SHORT, {"asked": asked, "expected": summary.expected})
            )
        if summary.failed:
            reasons.append(
                Finding(
                    FindingCode.PACK_QUESTIONS_FAILED,
                    {"failed": summary.failed, "expected": summary.expected},
                )
            )
        return (Verdict.INVALID if reasons else Verdict.VALID), tuple(reasons)


def _next(summary: AcceptanceSummary) -> Iterator[Finding]:
    if summary.locate:
        yield Finding(FindingCode.LOCATE_NEXT, {"command": shlex.join(summary.locate)})


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}"


def _check(test: TestEvidence) -> Check:
    name = f"{test.name} of {test.of}"
    if test.leaning is Leaning.NOT_RUN:
        return Check(name, skipped=test.statement)
    return Check(name, test.statement, failure=test.statement if test.leaning is Leaning.FAILED else None)
