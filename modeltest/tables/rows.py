"""The tables of a result: the names of the columns and the rows that suit its summary."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from modeltest.api import (
    AccuracySummary,
    CaseSummary,
    GeneratedText,
    GenerationSummary,
    HarnessMetric,
    HarnessSummary,
    MaxBatchCase,
    MaxBatchSummary,
    PerformanceSummary,
    PrecisionOutput,
    PrecisionSummary,
    Probe,
    Proportion,
    Summary,
)
from modeltest.tables.cells import accuracy, beginning, in_one_line, median, number, shape, with_interval

PROBE_HEADER = ("case", "batch", "decision", "non-first token ms", "99 % bounds", "trials", "screens")


def header_of(summary: Summary | None) -> Sequence[str]:
    """Return the names of the columns."""
    if isinstance(summary, PerformanceSummary):
        return ("case", "batch", "trials", "TTFT ms", "TPOT ms", "CV", "E2E s", "tokens/s", "verdict")
    if isinstance(summary, MaxBatchSummary):
        return ("case", "range", "limit ms", "max batch", "non-first token ms", "status", "verdict")
    if isinstance(summary, PrecisionSummary):
        return ("case", "batch", "prompt", "prompt tokens", "rows", "rows that differ", "verdict", "output")
    if isinstance(summary, GenerationSummary):
        return ("prompt", "tokens", "text", "new tokens", "end")
    if isinstance(summary, HarnessSummary):
        return ("task", "version", "filter", "shots", "metric", "value", "standard error", "questions")
    return ("subject", "right", "questions", "accuracy", "95 % interval")


def rows_of(summary: Summary | None) -> Iterable[Sequence[str]]:
    """Yield the cells under `header_of`, row by row."""
    if isinstance(summary, AccuracySummary):
        yield from _accuracy_rows(summary)
    elif isinstance(summary, PerformanceSummary):
        yield from (_performance_row(case) for case in summary.cases)
    elif isinstance(summary, MaxBatchSummary):
        yield from (_search_row(case) for case in summary.cases)
    elif isinstance(summary, PrecisionSummary):
        yield from (_output_row(output) for output in summary.outputs)
    elif isinstance(summary, GenerationSummary):
        yield from (_text_row(text) for text in summary.texts)
    elif isinstance(summary, HarnessSummary):
        yield from (_harness_row(metric) for metric in summary.metrics)


def probe_rows(summary: MaxBatchSummary) -> Iterable[Sequence[str]]:
    """Yield the cells under `PROBE_HEADER`: every batch size that was tried, with what decided it."""
    return (_probe_row(case, probe) for case in summary.cases for probe in case.probes)


def _accuracy_rows(summary: AccuracySummary) -> Iterable[Sequence[str]]:
    groups = {**summary.categories, **summary.groups}
    parts = groups if len(groups) > 1 else summary.subjects
    if len(parts) > 1:
        for name, proportion in parts.items():
            yield _proportion_row(name, proportion)
    yield _proportion_row("all questions", summary.micro)
    if len(summary.subjects) > 1 and summary.macro is not None:
        yield ("mean of subjects", "", "", f"{summary.macro:.2%}", "")
    for name in ("failed", "no_answer", "truncated", "dropped_shots", "cut_prompts"):
        count = getattr(summary, name)
        if count:
            yield (name.replace("_", " "), "", str(count), "", "")
    if summary.near_ties:
        yield (f"near-ties (margin < {summary.near_tie_margin:g})", "", str(len(summary.near_ties)), "", "")


def _proportion_row(name: str, proportion: Proportion) -> Sequence[str]:
    interval = "" if proportion.low is None else f"{proportion.low:.2%} .. {proportion.high:.2%}"
    return (name, str(proportion.correct), str(proportion.total), accuracy(proportion), interval)


def _performance_row(case: CaseSummary) -> Sequence[str]:
    tpot = case.metrics.get("tpot_ms")
    return (
        shape(case.case),
        str(case.batch_size),
        str(case.trials),
        with_interval(case, "ttft_ms"),
        with_interval(case, "tpot_ms"),
        "-" if tpot is None or tpot.cv is None else f"{tpot.cv:.1%}",
        with_interval(case, "e2e_s"),
        median(case, "output_tokens_per_s"),
        case.verdict.value,
    )


def _search_row(search: MaxBatchCase) -> Sequence[str]:
    return (
        shape(search.case),
        f"{search.lowest}..{search.highest}",
        f"{search.limit_ms:g}",
        "-" if search.max_batch is None else str(search.max_batch),
        number(search.latency_ms),
        search.status.value,
        search.verdict.value,
    )


def _output_row(output: PrecisionOutput) -> Sequence[str]:
    return (
        shape(output.case),
        str(output.batch_size),
        str(output.prompt),
        str(len(output.prompt_tokens)),
        str(output.rows),
        str(output.rows_that_differ),
        output.verdict.value,
        beginning(output),
    )


def _text_row(text: GeneratedText) -> Sequence[str]:
    end = "failed" if text.error is not None else text.finish.value if text.finish else "-"
    cut = f" (cut by {text.cut_prompt_tokens})" if text.cut_prompt_tokens else ""
    return (
        in_one_line(text.prompt),
        f"{text.prompt_tokens}{cut}",
        in_one_line(text.error or text.text or ""),
        str(text.output_tokens),
        end,
    )


def _harness_row(metric: HarnessMetric) -> Sequence[str]:
    return (
        metric.task,
        metric.version or "-",
        metric.filter,
        "-" if metric.shots is None else str(metric.shots),
        metric.metric,
        number(metric.value),
        number(metric.standard_error),
        "-" if metric.questions is None else str(metric.questions),
    )


def _probe_row(case: MaxBatchCase, probe: Probe) -> Sequence[str]:
    """Show a probe; a latency in brackets is that of a warm-up or a screen, which guide the search only."""
    guide = probe.warmups_ms or probe.screens_ms
    latency = number(probe.latency_ms) if probe.latency_ms or not guide else f"({number(guide[-1])})"
    warmups = f" + {len(probe.warmups_ms)} warm-up" if probe.warmups_ms else ""
    return (
        shape(case.case),
        str(probe.batch_size),
        probe.decision.value.lower().replace("_", " ") + (", certified" if probe.is_certified else ""),
        latency,
        "" if probe.low_ms is None else f"{number(probe.low_ms)} .. {number(probe.high_ms)}",
        f"{len(probe.trials_ms)}{warmups}",
        str(len(probe.screens_ms)),
    )
