"""Engines, tasks and reports by name, found through entry points so that anyone may add one.

What others add may be broken. Whatever it raises becomes one line with its name and that of its package
(`PlugInError`); a report is then left out, and an engine or a task refused to those who asked for it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from difflib import get_close_matches
from importlib import import_module
from typing import Any

from modeltest.api import (
    TASK_FILE_PREFIX,
    ComparisonReport,
    Demanding,
    Engine,
    Mode,
    ModelTestError,
    PrerequisiteError,
    Report,
    RunSpec,
    ServingWords,
    SiteBuilder,
    SuiteReport,
    Task,
)
from modeltest.entry_points import declared, owner_of
from modeltest.task_files.named import refuse_changed


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

Tell = Callable[[str], None]
"""Called with one line on what is left out, and why."""


class PlugInError(PrerequisiteError):
    """What an installed package added raised what nothing of its kind may raise, or is there twice."""


@contextmanager
def guard(what: str) -> Iterator[None]:
    """Turn whatever a plug-in raises into one line that names it; errors of our own kinds say enough.

    Raises: PlugInError.
    """
    try:
        yield
    except ModelTestError:
        raise
    except (Exception, SystemExit) as problem:
        reason = " ".join(f"{type(problem).__name__}: {problem}".split())
        raise PlugInError(f"{what}: {reason:.500}") from problem


def _ignore(line: str) -> None:
    """Do nothing: the default where no callback is given."""


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

    Raises: PrerequisiteError when none is installed under that name, two packages have one, it raises
    anything, or it lacks what an engine must have. So do all that follow.
    """
    engine: Engine = _load(ENGINES, name)
    return engine


def engine_obstacles() -> dict[str, str | None]:
    """Return what stands in the way of each engine that does not run everywhere."""
    found = {}
    for name in engine_names():
        try:
            engine = load_engine(name)
            with guard(f"engine {name!r} fails"):
                if isinstance(engine, Demanding):
                    found[name] = engine.obstacle()
        except PrerequisiteError as problem:
            found[name] = str(problem)
    return found


def words_served(*, but: Collection[str] = ()) -> dict[str, Collection[str]]:
    """Return the engine words that installed engines say they serve, by their names; `but` are not looked at.

    One that cannot be used serves none: someone else's broken plug-in stops nobody's run.
    """
    served: dict[str, Collection[str]] = {}
    for name in engine_names():
        if name not in but:
            with suppress(PrerequisiteError):
                served[name] = _words_of(name)
    return served


def _words_of(name: str) -> Collection[str]:
    engine = load_engine(name)
    with guard(f"the words of engine {name!r} cannot be read"):
        return tuple(engine.words) if isinstance(engine, ServingWords) else ()


def load_task(name: str) -> Task:
    """Return the task called `name`, of a package or of a file (`file:/path/FILE`).

    Raises: PrerequisiteError; SpecError for a file that describes no task.
    """
    if name.startswith(TASK_FILE_PREFIX):
        return _task_of_file(name)
    task: Task = _load(TASKS, name)
    return task


def task_of_run(spec: RunSpec, task_files: Mapping[str, str]) -> Task:
    """Return the task of a run that has been recorded, with the digests of its task files.

    Raises: as `load_task`; SpecError for a task file that is not what it was.
    """
    if spec.task_file is not None:
        refuse_changed(spec, task_files)
    return load_task(spec.task)


def _task_of_file(name: str) -> Task:
    # By its name, as every task is: what is found here stands above this module.
    load = import_module("modeltest.task_files.load").load_task_file
    with guard(f"task file {name.removeprefix(TASK_FILE_PREFIX)} cannot be imported"):
        task: Task = load(name)
    return task


def task_of(spec: RunSpec) -> Task:
    """Return the task that `spec` asks for.

    Raises: PrerequisiteError, also for a mode that the grammar knows and no task serves yet.
    """
    if spec.task_file is None and spec.task not in task_names():
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


def reports(tell: Tell = _ignore) -> Iterator[Report]:
    """Yield every installed report that can be used, by its name; `tell` is called for one that cannot."""
    return _usable(REPORTS, tell)


def comparison_reports(tell: Tell = _ignore) -> Iterator[ComparisonReport]:
    """Yield every installed report of comparisons that can be used; `tell` is called for one that cannot."""
    return _usable(COMPARISON_REPORTS, tell)


def suite_reports(tell: Tell = _ignore) -> Iterator[SuiteReport]:
    """Yield every installed report of suites that can be used; `tell` is called for one that cannot."""
    return _usable(SUITE_REPORTS, tell)


def declared_modes() -> Sequence[Mode]:
    """Return the grammar modes that the installed tasks declare.

    A task that cannot be used declares none: someone else's broken plug-in stops nobody's run.
    """
    modes: list[Mode] = []
    for name in task_names():
        with suppress(PrerequisiteError):
            modes.extend(modes_of(name, load_task(name)))
    return modes


def modes_of(name: str, task: Task) -> tuple[Mode, ...]:
    """Return the modes that the task called `name` declares.

    Raises: PlugInError when they are none.
    """
    with guard(f"the modes of task {name!r} cannot be read"):
        modes = tuple(task.modes)
        for mode in modes:
            if not isinstance(mode, Mode):
                raise TypeError(f"{mode!r:.80} is no {Mode.__qualname__}")
    return modes


def _usable(kind: _Kind, tell: Tell) -> Iterator[Any]:
    for name in _names(kind):
        try:
            yield _load(kind, name)
        except PrerequisiteError as problem:
            tell(f"left out: {problem}")


def _names(kind: _Kind) -> tuple[str, ...]:
    return tuple(sorted(declared(kind.group)))


def _load(kind: _Kind, name: str) -> Any:
    points = declared(kind.group)
    if name not in points:
        close = get_close_matches(name, points, n=1)
        hint = f"; did you mean {close[0]!r}?" if close else ""
        available = ", ".join(sorted(points)) or "none: reinstall modeltest"
        raise PrerequisiteError(
            f"{kind.noun} {name!r} is not available; installed {kind.noun}s: {available}{hint}"
        )
    if len(points[name]) > 1:
        owners = " and ".join(f"{owner_of(point)} ({point.value})" for point in points[name])
        raise PlugInError(
            f"{kind.noun} {name!r} is declared by {owners}: uninstall one of them, or rename its {kind.noun}"
        )
    (point,) = points[name]
    owner = owner_of(point)
    with guard(f"{kind.noun} {name!r} of {owner} cannot be imported"):
        make = point.load()
    with guard(f"{kind.noun} {name!r} of {owner} cannot be made"):
        plug_in = make()
    with guard(f"{kind.noun} {name!r} of {owner} cannot be looked at"):
        has_methods = isinstance(plug_in, kind.contract)
    if not has_methods:
        contract = f"{kind.contract.__module__}.{kind.contract.__qualname__}"
        raise PlugInError(f"{kind.noun} {name!r} of {owner} does not have the methods of {contract}")
    return plug_in
