"""Every number of a run that a gate or a dashboard may follow, under a name that does not change.

A name is `FAMILY` for the whole run and `FAMILY.CASE` for a part of it: `accuracy`,
`accuracy.subject.astronomy`, `tpot_ms.256x64.batch4`. Numbers that may not be used, because the run or the
case is INVALID, are `None`; counts of what went wrong are always there.
"""

from __future__ import annotations

from collections.abc import Iterator

from modeltest.api import FlatMetric, RunResult, Verdict
from modeltest.present.kinds import presentation_of


def flat_metrics(result: RunResult) -> tuple[FlatMetric, ...]:
    """Return the numbers of `result`: those of its summary, then what it took."""
    return (*_of_summary(result), *_of_usage(result))


def _of_summary(result: RunResult) -> Iterator[FlatMetric]:
    if result.summary is not None:
        is_usable = result.verdict is not Verdict.INVALID
        yield from presentation_of(result.summary).metrics(result.summary, is_usable=is_usable)


def _of_usage(result: RunResult) -> Iterator[FlatMetric]:
    for name in ("load", "run"):
        yield FlatMetric(f"{name}_s", result.timing_s.get(name))
    peak_bytes = result.usage.peak_memory_bytes if result.usage else None
    yield FlatMetric("run_peak_memory_bytes", peak_bytes)
