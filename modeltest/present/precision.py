"""Precision: whether the rows of a batch that hold one prompt give one output."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from modeltest.api import (
    Finding,
    FindingCode,
    FlatMetric,
    PrecisionOutput,
    PrecisionSummary,
    RunResult,
    Verdict,
)
from modeltest.findings import as_findings
from modeltest.present.cells import in_one_line, said
from modeltest.present.presentation import Check, Column, Phrase, Presentation, Row, Said, worst


class PrecisionPresentation(Presentation[PrecisionSummary]):
    """What is shown of a precision run."""

    kind = "precision"
    summary = PrecisionSummary
    columns = (
        *map(Column, ("case", "batch", "prompt")),
        Column("prompt tokens", is_brief=False),
        *map(Column, ("rows", "rows that differ", "verdict", "output")),
    )

    def headline(self, summary: PrecisionSummary) -> str:
        """Return the beginning of every output."""
        return "; ".join(
            f"{each.case.shape} batch {each.batch_size}, prompt {each.prompt}: {in_one_line(said(each))}"
            for each in summary.outputs
        )

    def gist(self, summary: PrecisionSummary) -> Sequence[Phrase]:
        """Return how many outputs differ."""
        differing = sum(bool(output.rows_that_differ) for output in summary.outputs)
        outputs = Phrase(f"{differing} of {len(summary.outputs)} outputs", is_key=True)
        return (outputs, Phrase(" differ between rows of one batch"))

    def rows(self, summary: PrecisionSummary) -> Iterator[Row]:
        """Yield the outputs."""
        for each in summary.outputs:
            counts = (len(each.prompt_tokens), each.rows, each.rows_that_differ)
            place = (each.case.shape, str(each.batch_size), str(each.prompt))
            yield Row((*place, *map(str, counts), each.verdict.value, Said(said(each))))

    def checks(self, summary: PrecisionSummary, result: RunResult) -> Iterator[Check]:
        """Yield the outputs: INVALID is a failure."""
        return map(_check, summary.outputs)

    def metrics(self, summary: PrecisionSummary, *, is_usable: bool) -> Iterator[FlatMetric]:
        """Yield how many rows differ."""
        for output in summary.outputs:
            name = f"{output.case.shape}.batch{output.batch_size}.prompt{output.prompt}"
            yield FlatMetric("rows_that_differ", output.rows_that_differ, name)

    def judgement(
        self, summary: PrecisionSummary, *, expected_questions: int | None, findings: frozenset[str]
    ) -> tuple[Verdict, tuple[Finding, ...]]:
        """Return the worst verdict of the outputs, and the reasons of all."""
        reasons = (
            Finding(
                FindingCode.IN_CASE,
                {"case": each.case.shape, "batch_size": each.batch_size, "about": reason},
            )
            for each in summary.outputs
            for reason in as_findings(each.reasons, each.reason_codes)
        )
        return worst(each.verdict for each in summary.outputs), tuple(reasons)


def _check(output: PrecisionOutput) -> Check:
    name = f"{output.case.shape} batch {output.batch_size} prompt {output.prompt}"
    text = f"{output.rows_that_differ} of {output.rows} rows differ from the first"
    failure = "\n".join(output.reasons) or text if output.verdict is Verdict.INVALID else None
    return Check(name, "\n".join((text, *output.reasons)), failure)
