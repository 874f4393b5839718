"""Performance: what a token takes, by case and batch size."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from modeltest.api import (
    METRIC_DEFINITIONS,
    CasePrompts,
    CaseSummary,
    Finding,
    FindingCode,
    FlatMetric,
    PerformanceSummary,
    RunResult,
    Verdict,
)
from modeltest.findings import as_findings
from modeltest.present.cells import median
from modeltest.present.presentation import Check, Column, Estimate, Phrase, Presentation, Row, worst

MEMORY = ("peak_memory_bytes", "peak_host_memory_bytes")


class PerformancePresentation(Presentation[PerformanceSummary]):
    """What is shown of a performance run."""

    kind = "performance"
    summary = PerformanceSummary
    is_timed = True
    columns = (
        *map(Column, ("case", "batch", "trials", "TTFT ms", "TPOT ms")),
        Column("CV", is_brief=False),
        *map(Column, ("E2E s", "tokens/s", "verdict")),
    )

    def headline(self, summary: PerformanceSummary) -> str:
        """Return time to first token and per token of every case."""
        return "; ".join(
            f"{_name(case)}: TTFT {median(case, 'ttft_ms')} ms, TPOT {median(case, 'tpot_ms')} ms"
            for case in summary.cases
        )

    def gist(self, summary: PerformanceSummary) -> Sequence[Phrase]:
        """Return how many cases there are, and how many of them may not be used as they are."""
        bad = sum(case.verdict is not Verdict.VALID for case in summary.cases)
        cases = Phrase(f"{len(summary.cases)} cases, " if bad else f"{len(summary.cases)} cases, all VALID")
        return (cases, Phrase(f"{bad} of them not VALID", is_key=True)) if bad else (cases,)

    def rows(self, summary: PerformanceSummary) -> Iterator[Row]:
        """Yield the cases."""
        return (Row(_cells(case)) for case in summary.cases)

    def checks(self, summary: PerformanceSummary, result: RunResult) -> Iterator[Check]:
        """Yield the cases: INVALID is a failure."""
        return map(_check, summary.cases)

    def metrics(self, summary: PerformanceSummary, *, is_usable: bool) -> Iterator[FlatMetric]:
        """Yield every metric of every case; each case has a verdict of its own."""
        for case in summary.cases:
            yield from _metrics(case)

    def judgement(
        self, summary: PerformanceSummary, *, expected_questions: int | None, findings: frozenset[str]
    ) -> tuple[Verdict, tuple[Finding, ...]]:
        """Return the worst verdict of the cases, and the reasons of all."""
        reasons = (
            in_case(case, reason)
            for case in summary.cases
            for reason in as_findings(case.reasons, case.reason_codes)
        )
        return worst(case.verdict for case in summary.cases), tuple(reasons)

    def timed_cases(self, summary: PerformanceSummary) -> Sequence[CaseSummary]:
        """Return the cases."""
        return summary.cases

    def remarks(self, summary: PerformanceSummary) -> Iterator[str]:
        """Yield what the device did, what timing cost, the memory it took, and what the prompts were."""
        for case in summary.cases:
            if parts := [*_rates(case), *_costs(case)]:
                yield f"{_name(case)}: {', '.join(parts)}"
        for case in summary.cases:
            if (prompts := case.prompts) is not None:
                yield f"{_name(case)}: prompts of {_lengths(prompts)}; {prompts.available} to choose from"
                yield from (f"  {note}" for note in prompts.notes)


def in_case(case: CaseSummary, about: Finding) -> Finding:
    """Return what was found of a case, with its name."""
    return Finding(
        FindingCode.IN_CASE,
        {"case": case.case.shape, "batch_size": case.batch_size, "about": about},
    )


def _name(case: CaseSummary) -> str:
    return f"{case.case.shape} batch {case.batch_size}"


def _cells(case: CaseSummary) -> tuple[str | Estimate, ...]:
    metrics = case.metrics
    tpot = metrics.get("tpot_ms")
    return (
        case.case.shape,
        str(case.batch_size),
        str(case.trials),
        Estimate(metrics.get("ttft_ms")),
        Estimate(tpot),
        "-" if tpot is None or tpot.cv is None else f"{tpot.cv:.1%}",
        Estimate(metrics.get("e2e_s")),
        Estimate(metrics.get("output_tokens_per_s"), is_secondary=True),
        case.verdict.value,
    )


def _check(case: CaseSummary) -> Check:
    values = [
        f"{name} {found.median:.4g}" + (f" ({found.low:.4g} .. {found.high:.4g})" if found.low else "")
        for name, found in case.metrics.items()
        if found.median is not None
    ]
    lines = [f"verdict: {case.verdict.value} over {case.trials} trials", *values, *case.reasons, *case.notes]
    failure = "\n".join(case.reasons) or "INVALID" if case.verdict is Verdict.INVALID else None
    return Check(_name(case), "\n".join(lines), failure)


def _metrics(case: CaseSummary) -> Iterator[FlatMetric]:
    name = f"{case.case.shape}.batch{case.batch_size}"
    is_usable = case.verdict is not Verdict.INVALID
    for definition in METRIC_DEFINITIONS:
        found = case.metrics.get(definition.name) if is_usable else None
        if found is None:
            yield FlatMetric(definition.name, None, name)
        else:
            yield FlatMetric(definition.name, found.median, name, low=found.low, high=found.high)
    for family in MEMORY:
        yield FlatMetric(family, getattr(case, family) if is_usable else None, name)


def _rates(case: CaseSummary) -> Iterator[str]:
    rates = case.achieved
    if rates is None:
        return
    for name, unit, scale, rate, peak in (
        ("decode", "GB/s", 1e9, rates.decode_bytes_per_s, rates.peak_bytes_per_s),
        ("prefill", "TFLOP/s", 1e12, rates.prefill_flop_per_s, rates.peak_flop_per_s),
    ):
        if rate is not None and peak is not None:
            yield f"{name} {rate / scale:.3g} of {peak / scale:.3g} {unit}"


def _costs(case: CaseSummary) -> Iterator[str]:
    cost = case.overhead
    if cost is not None:
        interval = "" if cost.low is None else f" ({cost.low:+.1%} .. {cost.high:+.1%})"
        yield f"timing costs {cost.fraction:+.1%}{interval}"
    peak_bytes = case.peak_memory_bytes or case.peak_host_memory_bytes
    if peak_bytes is not None:
        yield f"peak memory {peak_bytes / 1e6:.0f} MB"


def _lengths(prompts: CasePrompts) -> str:
    if prompts.shortest == prompts.longest:
        return f"{prompts.longest} tokens"
    return f"{prompts.shortest} to {prompts.longest} tokens (median {prompts.median:g})"
