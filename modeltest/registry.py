"""Engines, tasks and reports by name, found through entry points so that anyone may add one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from difflib import get_close_matches
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from modeltest.api import Engine, Mode, PrerequisiteError, Report, RunSpec, Task
from modeltest.api.comparison import ComparisonReport
from modeltest.api.dashboard import SiteBuilder
from modeltest.api.suite import SuiteReport

ENGINES = "modeltest.engines"
TASKS = "modeltest.tasks"
REPORTS = "modeltest.reports"
COMPARISON_REPORTS = "modeltest.comparison_reports"
SITE_BUILDERS = "modeltest.site_builders"

SITE_BUILDER = "html"
"""The one that is taken."""
SUITE_REPORTS = "modeltest.suite_reports"


def engine_names() -> tuple[str, ...]:
    """Return the names of the installed engines, sorted."""
    return tuple(sorted(_entry_points(ENGINES)))


def task_names() -> tuple[str, ...]:
    """Return the names of the installed tasks, sorted."""
    return tuple(sorted(_entry_points(TASKS)))


def load_engine(name: str) -> Engine:
    """Return a new engine called `name`.

    Raises: PrerequisiteError when none is installed under that name or its module does not import.
    """
    engine = _load(ENGINES, "engine", name)
    if not isinstance(engine, Engine):
        raise PrerequisiteError(f"engine {name!r} does not have the methods of modeltest.api.Engine")
    return engine


def load_task(name: str) -> Task:
    """Return the task called `name`.

    Raises: PrerequisiteError when none is installed under that name or its module does not import.
    """
    task: Task = _load(TASKS, "task", name)
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


def report_names() -> tuple[str, ...]:
    """Return the names of the installed reports, sorted."""
    return tuple(sorted(_entry_points(REPORTS)))


def load_report(name: str) -> Report:
    """Return the report called `name`.

    Raises: PrerequisiteError when none is installed under that name or its module does not import.
    """
    report = _load(REPORTS, "report", name)
    if not isinstance(report, Report):
        raise PrerequisiteError(f"report {name!r} does not have the methods of modeltest.api.Report")
    return report


def reports() -> Iterator[Report]:
    """Yield every installed report, in the order of their names."""
    for name in report_names():
        yield load_report(name)


def comparison_report_names() -> tuple[str, ...]:
    """Return the names of the installed reports of comparisons, sorted."""
    return tuple(sorted(_entry_points(COMPARISON_REPORTS)))


def load_comparison_report(name: str) -> ComparisonReport:
    """Return the report of comparisons called `name`.

    Raises: PrerequisiteError when none is installed under that name or its module does not import.
    """
    report = _load(COMPARISON_REPORTS, "comparison report", name)
    if not isinstance(report, ComparisonReport):
        raise PrerequisiteError(
            f"comparison report {name!r} does not have the methods of modeltest.api.ComparisonReport"
        )
    return report


def comparison_reports() -> Iterator[ComparisonReport]:
    """Yield every installed report of comparisons, in the order of their names."""
    for name in comparison_report_names():
        yield load_comparison_report(name)


def site_builder() -> SiteBuilder:
    """Return what makes the pages of a dashboard.

    Raises: PrerequisiteError when it is not installed, or lacks a package.
    """
    builder = _load(SITE_BUILDERS, "site builder", SITE_BUILDER)
    if not isinstance(builder, SiteBuilder):
        raise PrerequisiteError(
            f"site builder {SITE_BUILDER!r} does not have the methods of modeltest.api.dashboard.SiteBuilder"
        )
    return builder


def suite_reports() -> Iterator[SuiteReport]:
    """Yield every installed report of suites, in the order of their names."""
    for name in sorted(_entry_points(SUITE_REPORTS)):
        report = _load(SUITE_REPORTS, "suite report", name)
        if not isinstance(report, SuiteReport):
            raise PrerequisiteError(
                f"suite report {name!r} does not have the methods of modeltest.api.suite.SuiteReport"
            )
        yield report


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


def _load(group: str, kind: str, name: str) -> Any:
    points = _entry_points(group)
    if name not in points:
        close = get_close_matches(name, points, n=1)
        hint = f"; did you mean {close[0]!r}?" if close else ""
        available = ", ".join(sorted(points)) or "none: reinstall modeltest"
        raise PrerequisiteError(f"{kind} {name!r} is not available; installed {kind}s: {available}{hint}")
    try:
        return points[name].load()()
    except ImportError as problem:
        raise PrerequisiteError(f"{kind} {name!r} cannot be imported: {problem}") from problem
