"""What the pages of timed runs show: every case and probe with its intervals, and the plots."""

from __future__ import annotations

from modeltest.api import MaxBatchSummary, PerformanceSummary, RunResult
from modeltest.api.metric_definitions import METRIC_DEFINITIONS
from reports.page.texts import Texts
from reports.plots.maxbs_plots import maxbs_plots
from reports.plots.performance_plots import performance_plots
from reports.plots.timed_trials import read_trials
from reports.run_page.content import Content

SHOWN = ("ttft_ms", "tpot_ms", "e2e_s", "output_tokens_per_s")
"""The metrics of the table of cases."""


def performance_content(result: RunResult, summary: PerformanceSummary, texts: Texts) -> Content:
    """Return what the page shows of a performance run."""
    trials = read_trials(result.measurements)
    return Content(
        kind="performance",
        plots=performance_plots(summary.cases, trials, shapes=result.spec.cases, texts=texts),
        values={
            "metrics": [definition for definition in METRIC_DEFINITIONS if definition.name in SHOWN],
            "all_metrics": METRIC_DEFINITIONS,
        },
    )


def maxbs_content(summary: MaxBatchSummary, texts: Texts) -> Content:
    """Return what the page shows of a max-batch run."""
    return Content(kind="maxbs", plots=maxbs_plots(summary.cases, texts=texts))
