"""The timed cases of a result, whichever task timed them."""

from __future__ import annotations

from collections.abc import Iterator

from modeltest.api import CaseSummary, MaxBatchSummary, PerformanceSummary, RunResult


def timed_cases(result: RunResult) -> Iterator[CaseSummary]:
    """Yield each case at each batch size measured at full length, in the order asked for or tried."""
    if isinstance(result.summary, PerformanceSummary):
        yield from result.summary.cases
    elif isinstance(result.summary, MaxBatchSummary):
        for search in result.summary.cases:
            yield from search.measured
