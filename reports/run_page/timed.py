"""What the pages of timed runs show: every case and probe with its intervals, and the plots."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from modeltest.api import (
    METRIC_DEFINITIONS,
    CaseSummary,
    Distribution,
    MaxBatchSummary,
    MetricDefinition,
    PerformanceSummary,
    PrecisionSummary,
    RunResult,
    Verdict,
)
from reports.page.texts import Texts
from reports.plots.maxbs_plots import maxbs_plots
from reports.plots.performance_plots import performance_plots
from reports.plots.timed_trials import read_trials
from reports.run_page.content import Content

SHOWN = ("ttft_ms", "tpot_ms", "e2e_s", "output_tokens_per_s")
"""The metrics of the table of cases."""

TELLING = ("ttft_ms", "tpot_ms", "output_tokens_per_s")
"""The metrics of which the headline names the best case."""


@dataclass(frozen=True, slots=True)
class Best:
    """The best case by one metric, of those whose numbers may be used."""

    metric: MetricDefinition
    case: CaseSummary

    @property
    def found(self) -> Distribution:
        """The metric over the trials of the case."""
        return self.case.metrics[self.metric.name]


def performance_content(result: RunResult, summary: PerformanceSummary, texts: Texts) -> Content:
    """Return what the page shows of a performance run."""
    trials = read_trials(result.measurements)
    return Content(
        kind="performance",
        plots=performance_plots(summary.cases, trials, shapes=result.spec.cases, texts=texts),
        values={
            "metrics": [definition for definition in METRIC_DEFINITIONS if definition.name in SHOWN],
            "all_metrics": METRIC_DEFINITIONS,
            "best": best_cases(summary.cases),
            "counts": Counter(case.verdict.value for case in summary.cases),
        },
    )


def best_cases(cases: Sequence[CaseSummary]) -> list[Best]:
    """Return the best case by each of the telling metrics that any case has."""
    best = []
    for metric in METRIC_DEFINITIONS:
        medians = {
            found.median: case
            for case in cases
            if case.verdict is not Verdict.INVALID
            and (found := case.metrics.get(metric.name)) is not None
            and found.median is not None
        }
        if metric.name in TELLING and medians:
            chosen = max(medians) if metric.higher_is_better else min(medians)
            best.append(Best(metric, medians[chosen]))
    return best


def maxbs_content(_: RunResult, summary: MaxBatchSummary, texts: Texts) -> Content:
    """Return what the page shows of a max-batch run."""
    return Content(kind="maxbs", plots=maxbs_plots(summary.cases, texts=texts))


def precision_content(_: RunResult, summary: PrecisionSummary, __: Texts) -> Content:
    """Return what the page shows of a precision run."""
    counts = Counter(output.verdict.value for output in summary.outputs)
    return Content(kind="precision", values={"counts": counts})
