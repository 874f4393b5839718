"""The numbers of another harness, under the names it gives them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from modeltest.api import HIGHER, LOWER, Finding, FindingCode, FlatMetric, HarnessSummary, RunResult, Verdict
from modeltest.present.cells import number
from modeltest.present.presentation import Check, Column, Phrase, Presentation, Row


class HarnessPresentation(Presentation[HarnessSummary]):
    """What is shown of another harness's run."""

    kind = "harness"
    summary = HarnessSummary
    columns = (
        Column("task"),
        Column("version", is_brief=False),
        Column("filter"),
        Column("shots", is_brief=False),
        *map(Column, ("metric", "value", "standard error")),
        Column("questions", is_brief=False),
    )

    def headline(self, summary: HarnessSummary) -> str:
        """Return every number."""
        return "; ".join(f"{one.task} {one.metric} {number(one.value)}" for one in summary.metrics)

    def gist(self, summary: HarnessSummary) -> Sequence[Phrase]:
        """Return how many numbers there are, and whose."""
        whose = f"{summary.harness} {summary.version or ''}"
        return (Phrase(f"{len(summary.metrics)} metrics of "), Phrase(whose, is_foreign=True))

    def rows(self, summary: HarnessSummary) -> Iterator[Row]:
        """Yield the numbers."""
        for one in summary.metrics:
            shots = "-" if one.shots is None else str(one.shots)
            questions = "-" if one.questions is None else str(one.questions)
            values = (one.metric, number(one.value), number(one.standard_error), questions)
            yield Row((one.task, one.version or "-", one.filter, shots, *values))

    def checks(self, summary: HarnessSummary, result: RunResult) -> Iterator[Check]:
        """Yield the tasks."""
        lines: dict[str, list[str]] = {}
        for one in summary.metrics:
            lines.setdefault(one.task, []).append(f"{one.metric} ({one.filter}): {number(one.value)}")
        for task, found in lines.items():
            yield Check(task, "\n".join(found))

    def metrics(self, summary: HarnessSummary, *, is_usable: bool) -> Iterator[FlatMetric]:
        """Yield the numbers; that harness says which way is better."""
        better = {True: HIGHER, False: LOWER, None: None}
        for one in summary.metrics:
            name = ".".join((one.task, one.metric, one.filter))
            yield FlatMetric("harness", one.value, name, better_here=better[one.higher_is_better])

    def judgement(
        self, summary: HarnessSummary, *, expected_questions: int | None, findings: frozenset[str]
    ) -> tuple[Verdict, tuple[Finding, ...]]:
        """Return INVALID without a number: a harness that knows no failed answers gives none."""
        if summary.metrics:
            return Verdict.VALID, ()
        return Verdict.INVALID, (Finding(FindingCode.NO_METRIC),)
