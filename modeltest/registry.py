"""Engines, tasks and reports by name, found through entry points so that anyone may add one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from modeltest.api import Engine, Mode, PrerequisiteError, Report, RunSpec, Task
from modeltest.api.comparison import ComparisonReport
from modeltest.api.dashboard import SiteBuilder
from modeltest.api.suite import SuiteReport


@dataclass(frozen=True, slots=True)
class _Kind:
    """One kind of plug-in: where it is declared, what it is called in a message, and what it must have."""

    group: str
    noun: str
    contract: type


ENGINES = _Kind("modeltest.engines", "engine", Engine)
TASKS = _Kind("modeltest.tasks", "task", Task)
REPORTS = _Kind("modeltest.reports", "report", Report)
COMPARISON_REPORTS = _Kind("modeltest.comparison_reports", "comparison report", ComparisonReport)
SUITE_REPORTS = _Kind("modeltest.suite_reports", "suite report", SuiteReport)
SITE_BUILDERS = _Kind("modeltest.site_builders", "site builder", SiteBuilder)

SITE_BUILDER = "html"
"""The one that is taken."""


def engine_names() -> tuple[str, ...]:
    """Return the names of the installed engines, sorted."""
    return _names(ENGINES)


def task_names() -> tuple[str, ...]:
    """Return the names of the installed tasks, sorted."""
    return _names(TASKS)


def report_names() -> tuple[str, ...]:
    """Return the names of the installed reports, sorted."""
    return _names(REPORTS)


def comparison_report_names() -> tuple[str, ...]:
    """Return the names of the installed reports of comparisons, sorted."""
    return _names(COMPARISON_REPORTS)


def load_engine(name: str) -> Engine:
    """Return a new engine called `name`.

    Raises: PrerequisiteError when none is installed under that name, its module does not import, or it
    lacks what an engine must have. So do all that follow.
    """
    engine: Engine = _load(ENGINES, name)
    return engine


def load_task(name: str) -> Task:
    """Return the task called `name`.

    Raises: PrerequisiteError.
    """
    task: Task = _load(TASKS, name)
    return task


def task_of(spec: RunSpec) -> Task:
    """Return the task that `spec` asks for.

    Raises: PrerequisiteError, also for a mode that the grammar knows and no task serves yet.
    """
    if spec.task not in task_names():
        raise PrerequisiteError(
            f"the task {spec.task!r} of mode {spec.mode!r} is not available yet; "
            f"available: {', '.join(task_names())}"
        )
    return load_task(spec.task)


def load_report(name: str) -> Report:
    """Return the report called `name`.

    Raises: PrerequisiteError.
    """
    report: Report = _load(REPORTS, name)
    return report


def load_comparison_report(name: str) -> ComparisonReport:
    """Return the report of comparisons called `name`.

    Raises: PrerequisiteError.
    """
    report: ComparisonReport = _load(COMPARISON_REPORTS, name)
    return report


def site_builder() -> SiteBuilder:
    """Return what makes the pages of a dashboard.

    Raises: PrerequisiteError.
    """
    builder: SiteBuilder = _load(SITE_BUILDERS, SITE_BUILDER)
    return builder


def reports() -> Iterator[Report]:
    """Yield every installed report, in the order of their names."""
    return (_load(REPORTS, name) for name in _names(REPORTS))


def comparison_reports() -> Iterator[ComparisonReport]:
    """Yield every installed report of comparisons, in the order of their names."""
    return (_load(COMPARISON_REPORTS, name) for name in _names(COMPARISON_REPORTS))


def suite_reports() -> Iterator[SuiteReport]:
    """Yield every installed report of suites, in the order of their names."""
    return (_load(SUITE_REPORTS, name) for name in _names(SUITE_REPORTS))


def declared_modes() -> Sequence[Mode]:
    """Return the grammar modes that the installed tasks declare.

    A task that cannot be imported declares none: someone else's broken plug-in stops nobody's run.
    """
    modes: list[Mode] = []
    for name in task_names():
        with suppress(PrerequisiteError):
            modes.extend(load_task(name).modes)
    return modes


@cache
def _entry_points(group: str) -> dict[str, EntryPoint]:
    return {point.name: point for point in entry_points(group=group)}


def _names(kind: _Kind) -> tuple[str, ...]:
    return tuple(sorted(_entry_points(kind.group)))


def _load(kind: _Kind, name: str) -> Any:
    points = _entry_points(kind.group)
    if name not in points:
        close = get_close_matches(name, points, n=1)
        hint = f"; did you mean {close[0]!r}?" if close else ""
        available = ", ".join(sorted(points)) or "none: reinstall modeltest"
        raise PrerequisiteError(
            f"{kind.noun} {name!r} is not available; installed {kind.noun}s: {available}{hint}"
        )
    try:
        plug_in = points[name].load()()
    except ImportError as problem:
        raise PrerequisiteError(f"{kind.noun} {name!r} cannot be imported: {problem}") from problem
    if not isinstance(plug_in, kind.contract):
        contract = f"{kind.contract.__module__}.{kind.contract.__qualname__}"
        raise PrerequisiteError(f"{kind.noun} {name!r} does not have the methods of {contract}")
    return plug_in
