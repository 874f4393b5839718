"""Every number of a run that a gate or a dashboard may follow, under a name that does not change.

A name is `FAMILY` for the whole run and `FAMILY.CASE` for a part of it: `accuracy`,
`accuracy.subject.astronomy`, `tpot_ms.256x64.batch4`. Numbers that may not be used, because the run or the
case is INVALID, are `None`; counts of what went wrong are always there.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from modeltest.api.metric_definitions import METRIC_DEFINITIONS
from modeltest.api.results import (
    AccuracySummary,
    GenerationSummary,
    HarnessSummary,
    PrecisionSummary,
    Proportion,
    RunResult,
)
from modeltest.api.spec import Case
from modeltest.api.timed_results import CaseSummary, MaxBatchCase, MaxBatchSummary, PerformanceSummary
from modeltest.api.verdict import Verdict

HIGHER = "higher"
LOWER = "lower"


@dataclass(frozen=True, slots=True)
class Family:
    """What the numbers of one name are counted in, and which way is better: HIGHER, LOWER or neither."""

    unit: str
    better: str | None


_TIMED = {
    definition.name: Family(definition.unit, HIGHER if definition.higher_is_better else LOWER)
    for definition in METRIC_DEFINITIONS
}
_COUNTED = ("no_answer", "truncated", "dropped_shots", "cut_prompts")
_MEMORY = ("peak_memory_bytes", "peak_host_memory_bytes")

FAMILIES: Mapping[str, Family] = {
    "accuracy": Family("ratio", HIGHER),
    "accuracy_macro": Family("ratio", HIGHER),
    "questions": Family("questions", None),
    "failed_questions": Family("questions", LOWER),
    **dict.fromkeys(_COUNTED, Family("questions", LOWER)),
    "near_ties": Family("questions", None),
    **_TIMED,
    **dict.fromkeys(_MEMORY, Family("bytes", LOWER)),
    "max_batch": Family("rows", HIGHER),
    "max_batch_latency_ms": Family("ms", LOWER),
    "rows_that_differ": Family("rows", LOWER),
    "prompts": Family("prompts", None),
    "failed_prompts": Family("prompts", LOWER),
    "harness": Family("", None),
    "load_s": Family("s", LOWER),
    "run_s": Family("s", LOWER),
    "run_peak_memory_bytes": Family("bytes", LOWER),
}
"""Every family; of another harness's numbers that harness says which way is better."""


@dataclass(frozen=True, slots=True)
class FlatMetric:
    """One number with its 95 % interval, in the unit of its family; `None` is unknown or not to be used."""

    family: str
    value: float | None
    case: str = ""
    """The part of the run; empty for the whole of it."""

    low: float | None = None
    high: float | None = None
    better_here: str | None = None
    """Where the family does not say which way is better."""

    @property
    def name(self) -> str:
        """The name in `metrics.json`."""
        return f"{self.family}.{self.case}" if self.case else self.family

    @property
    def unit(self) -> str:
        """What `value`, `low` and `high` are counted in."""
        return FAMILIES[self.family].unit

    @property
    def better(self) -> str | None:
        """`HIGHER` or `LOWER`; `None` where neither is."""
        return FAMILIES[self.family].better or self.better_here


def flat_metrics(result: RunResult) -> tuple[FlatMetric, ...]:
    """Return the numbers of `result`: those of its summary, then what it took."""
    return (*_of_summary(result), *_of_usage(result))


def shape_name(case: Case) -> str:
    """Return what a case is called everywhere: `256x64`."""
    return f"{case.input_tokens}x{case.output_tokens}"


def search_name(case: Case, limit_ms: float) -> str:
    """Return what a search is called: `256x64.within_30_ms`."""
    return f"{shape_name(case)}.within_{limit_ms:g}_ms"


def _of_summary(result: RunResult) -> Iterator[FlatMetric]:
    summary = result.summary
    if isinstance(summary, AccuracySummary):
        yield from _of_accuracy(summary, is_usable=result.verdict is not Verdict.INVALID)
    elif isinstance(summary, PerformanceSummary):
        for case in summary.cases:
            yield from _of_case(case)
    elif isinstance(summary, MaxBatchSummary):
        for search in summary.cases:
            yield from _of_search(search)
    elif isinstance(summary, PrecisionSummary):
        for output in summary.outputs:
            name = f"{shape_name(output.case)}.batch{output.batch_size}.prompt{output.prompt}"
            yield FlatMetric("rows_that_differ", output.rows_that_differ, name)
    elif isinstance(summary, HarnessSummary):
        yield from _of_harness(summary)
    elif isinstance(summary, GenerationSummary):
        yield FlatMetric("prompts", len(summary.texts))
        yield FlatMetric("failed_prompts", sum(text.error is not None for text in summary.texts))


def _of_accuracy(summary: AccuracySummary, *, is_usable: bool) -> Iterator[FlatMetric]:
    yield _accuracy("", summary.micro, is_usable)
    yield FlatMetric("accuracy_macro", summary.macro if is_usable else None)
    parts: tuple[tuple[str, Mapping[str, Proportion]], ...] = (
        ("subject", summary.subjects),
        ("category", summary.categories),
        ("group", summary.groups),
    )
    for kind, proportions in parts:
        for name, proportion in proportions.items():
            yield _accuracy(f"{kind}.{name}", proportion, is_usable)
    yield FlatMetric("questions", summary.micro.total)
    yield FlatMetric("failed_questions", summary.failed)
    for name in _COUNTED:
        yield FlatMetric(name, getattr(summary, name))
    yield FlatMetric("near_ties", len(summary.near_ties))


def _accuracy(case: str, proportion: Proportion, is_usable: bool) -> FlatMetric:
    metric = FlatMetric("accuracy", None, case)
    if not is_usable:
        return metric
    return replace(metric, value=proportion.accuracy, low=proportion.low, high=proportion.high)


def _of_case(case: CaseSummary) -> Iterator[FlatMetric]:
    name = f"{shape_name(case.case)}.batch{case.batch_size}"
    is_usable = case.verdict is not Verdict.INVALID
    for family in _TIMED:
        found = case.metrics.get(family) if is_usable else None
        if found is None:
            yield FlatMetric(family, None, name)
        else:
            yield FlatMetric(family, found.median, name, low=found.low, high=found.high)
    for family in _MEMORY:
        yield FlatMetric(family, getattr(case, family) if is_usable else None, name)


def _of_search(search: MaxBatchCase) -> Iterator[FlatMetric]:
    name = search_name(search.case, search.limit_ms)
    is_usable = search.verdict is not Verdict.INVALID
    yield FlatMetric("max_batch", search.max_batch if is_usable else None, name)
    yield FlatMetric("max_batch_latency_ms", search.latency_ms if is_usable else None, name)


def _of_harness(summary: HarnessSummary) -> Iterator[FlatMetric]:
    better = {True: HIGHER, False: LOWER, None: None}
    for one in summary.metrics:
        name = ".".join((one.task, one.metric, one.filter))
        yield FlatMetric("harness", one.value, name, better_here=better[one.higher_is_better])


def _of_usage(result: RunResult) -> Iterator[FlatMetric]:
    for name in ("load", "run"):
        yield FlatMetric(f"{name}_s", result.timing_s.get(name))
    peak_bytes = result.usage.peak_memory_bytes if result.usage else None
    yield FlatMetric("run_peak_memory_bytes", peak_bytes)
