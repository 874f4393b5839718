"""Max batch: the largest batch whose tokens stay within a latency."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from modeltest.api import (
    Case,
    CaseSummary,
    Finding,
    FindingCode,
    FlatMetric,
    MaxBatchCase,
    MaxBatchSummary,
    Probe,
    RunResult,
    Verdict,
)
from modeltest.findings import as_findings
from modeltest.present.cells import number
from modeltest.present.presentation import Check, Column, Phrase, Presentation, Row, Table, worst

PROBE_HEADER = ("case", "batch", "decision", "non-first token ms", "99 % bounds", "trials", "screens")


class MaxBatchPresentation(Presentation[MaxBatchSummary]):
    """What is shown of max-batch searches."""

    kind = "maxbs"
    summary = MaxBatchSummary
    is_timed = True
    columns = tuple(
        map(Column, ("case", "range", "limit ms", "max batch", "non-first token ms", "status", "verdict"))
    )

    def headline(self, summary: MaxBatchSummary) -> str:
        """Return the answer of every search, and why it is that."""
        return "; ".join(
            f"{each.case.shape}: max batch {each.max_batch} "
            f"({each.status.value}) within {each.limit_ms:g} ms, {each.reason}"
            for each in summary.cases
        )

    def gist(self, summary: MaxBatchSummary) -> Sequence[Phrase]:
        """Return the answer of every search."""
        phrases: list[Phrase] = []
        for each in summary.cases:
            phrases.append(Phrase(f"{'; ' if phrases else ''}{each.case.shape}: "))
            phrases.append(Phrase(f"max batch {each.max_batch or '-'}", is_key=True))
            phrases.append(Phrase(f" within {each.limit_ms:g} ms"))
        return phrases

    def rows(self, summary: MaxBatchSummary) -> Iterator[Row]:
        """Yield the searches."""
        for each in summary.cases:
            yield Row(
                (
                    each.case.shape,
                    f"{each.lowest}..{each.highest}",
                    f"{each.limit_ms:g}",
                    "-" if each.max_batch is None else str(each.max_batch),
                    number(each.latency_ms),
                    each.status.value,
                    each.verdict.value,
                )
            )

    def checks(self, summary: MaxBatchSummary, result: RunResult) -> Iterator[Check]:
        """Yield the searches: INVALID is a failure."""
        return map(_check, summary.cases)

    def metrics(self, summary: MaxBatchSummary, *, is_usable: bool) -> Iterator[FlatMetric]:
        """Yield each answer and the latency at it; each search has a verdict of its own."""
        for search in summary.cases:
            name, is_sound = search_name(search.case, search.limit_ms), search.verdict is not Verdict.INVALID
            yield FlatMetric("max_batch", search.max_batch if is_sound else None, name)
            yield FlatMetric("max_batch_latency_ms", search.latency_ms if is_sound else None, name)

    def judgement(
        self, summary: MaxBatchSummary, *, expected_questions: int | None, findings: frozenset[str]
    ) -> tuple[Verdict, tuple[Finding, ...]]:
        """Return the worst verdict of the searches, and the reasons of all."""
        reasons = (
            Finding(FindingCode.IN_SEARCH, {"case": each.case.shape, "about": reason})
            for each in summary.cases
            for reason in as_findings(each.reasons, each.reason_codes)
        )
        return worst(each.verdict for each in summary.cases), tuple(reasons)

    def timed_cases(self, summary: MaxBatchSummary) -> Iterator[CaseSummary]:
        """Yield what each search has measured."""
        for search in summary.cases:
            yield from search.measured

    def tables(self, summary: MaxBatchSummary) -> Iterator[Table]:
        """Yield every batch size that was tried, with its trials and what they decide."""
        rows = (_probe_row(case, probe) for case in summary.cases for probe in case.probes)
        yield Table("batch sizes tried", PROBE_HEADER, tuple(rows))


def search_name(case: Case, limit_ms: float) -> str:
    """Return what a search is called: `256x64.within_30_ms`."""
    return f"{case.shape}.within_{limit_ms:g}_ms"


def _check(search: MaxBatchCase) -> Check:
    found = f"max batch {search.max_batch} ({search.status.value}): {search.reason}"
    failure = "\n".join(search.reasons) or search.reason if search.verdict is Verdict.INVALID else None
    name = f"{search.case.shape} within {search.limit_ms:g} ms"
    return Check(name, "\n".join((found, *search.reasons)), failure)


def _probe_row(case: MaxBatchCase, probe: Probe) -> tuple[str, ...]:
    """Show a probe; a latency in brackets is that of a warm-up or a screen, which guide the search only."""
    guide = probe.warmups_ms or probe.screens_ms
    latency = number(probe.latency_ms) if probe.latency_ms or not guide else f"({number(guide[-1])})"
    warmups = f" + {len(probe.warmups_ms)} warm-up" if probe.warmups_ms else ""
    return (
        case.case.shape,
        str(probe.batch_size),
        probe.decision.value.lower().replace("_", " ") + (", certified" if probe.is_certified else ""),
        latency,
        "" if probe.low_ms is None else f"{number(probe.low_ms)} .. {number(probe.high_ms)}",
        f"{len(probe.trials_ms)}{warmups}",
        str(len(probe.screens_ms)),
    )
