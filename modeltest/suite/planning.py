"""From command lines to a suite: each run is planned without its model, those that share one are together."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from modeltest.api import ModelTestError, RunSpec, SuiteRun, SuiteStatus
from modeltest.run.planning.plan import plan
from modeltest.run.supervisor.workers import LoadKey, load_key
from modeltest.suite.matrix import Asked
from modeltest.suite.paths import short_name

Build = Callable[[Asked], RunSpec]
"""Returns what a command line asks for; raises ModelTestError naming its place."""


@dataclass(frozen=True, slots=True)
class _Planned:
    run: SuiteRun
    key: LoadKey | None


def plan_runs(asked: Sequence[Asked], build: Build) -> tuple[SuiteRun, ...]:
    """Return the runs in the order in which they are carried out: those that share a model follow each other.

    A run that cannot be planned, for want of its weights, say, is REFUSED and keeps its place.

    Raises: ModelTestError for a command line that is wrong.
    """
    groups: dict[object, list[SuiteRun]] = {}
    for number, each in enumerate(asked):
        planned = _plan(each, build(each))
        groups.setdefault(number if planned.key is None else planned.key, []).append(planned.run)
    ordered = [
        replace(run, shares=number) for number, runs in enumerate(groups.values(), start=1) for run in runs
    ]
    return tuple(replace(run, name=_name(number, run)) for number, run in enumerate(ordered, start=1))


def planned_loads(runs: Sequence[SuiteRun]) -> int:
    """Return how often models will be loaded when nothing goes wrong."""
    return len({run.shares for run in runs if run.status is not SuiteStatus.REFUSED})


def _plan(asked: Asked, spec: RunSpec) -> _Planned:
    run = SuiteRun(
        name="",
        command=("modeltest", *asked.words),
        spec=spec,
        model=short_name(spec.weights),
        adapter=None,
        shares=0,
    )
    try:
        planned = plan(spec)
    except ModelTestError as problem:
        refused = replace(run, status=SuiteStatus.REFUSED, error=str(problem), exit_status=problem.exit_code)
        return _Planned(refused, None)
    known = replace(run, adapter=planned.engine.name, model=planned.model.label)
    return _Planned(known, load_key(planned))


def _name(number: int, run: SuiteRun) -> str:
    text = f"{number:03}_{run.spec.mode}_{run.model}_{run.spec.engine}"
    return re.sub(r"[^0-9A-Za-z._-]+", "-", text)
