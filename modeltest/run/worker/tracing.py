"""Profiler traces of a timed run: one more trial of each case, after all that are measured.

A profiler slows down what it records, so nothing that is measured is recorded, and what is recorded is not
measured. A trace of a long generation says no more than one of its first steps, in a file nobody can open; so
few tokens are generated, once to warm up for so many and once under the profiler.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

from modeltest.api import (
    Engine,
    EngineInfo,
    Measurement,
    MeasurementTask,
    RunSpec,
    Traceable,
    Trial,
)
from modeltest.tasks.readings import MEASURE

TRACED_TOKENS = 8
"""New tokens of each row in a trace, at most: a prefill and seven decode steps."""


def trials_to_trace(
    task: MeasurementTask, spec: RunSpec, info: EngineInfo, journal: Iterable[Measurement]
) -> Iterator[Trial]:
    """Yield the last measured trial of each case at the largest batch size that gave all of its rows.

    The trials come from the task, which is told `journal` again: requests are not journalled.
    """
    chosen: dict[int, Trial] = {}
    for trial, measurement in _replayed(task, spec, info, journal):
        before = chosen.get(trial.case_index)
        if _is_measured(measurement) and (before is None or trial.batch_size >= before.batch_size):
            chosen[trial.case_index] = trial
    yield from chosen.values()


def write_traces(
    engine: Engine,
    trials: Iterable[Trial],
    spec: RunSpec,
    folder: Path,
    *,
    run: str,
    tell: Callable[[str], None],
) -> None:
    """Write a trace of each trial into `folder`, its name beginning with `run`; `tell` is called for each.

    Nothing is raised: the run has all it was for, and a trace that failed must not cost it.
    """
    if not isinstance(engine, Traceable):
        tell(f"no trace: engine {engine.name} has nothing to record")
        return
    for trial in trials:
        case = spec.cases[trial.case_index]
        what = f"{case.shape} batch {trial.batch_size}"
        name = f"{run}_{case.shape}_batch{trial.batch_size}"
        short = _shortened(trial)
        try:
            _run(engine, short)
            path = engine.traced(partial(_run, engine, short), folder, name)
        except Exception as problem:
            traceback.print_exc()
            tell(f"no trace of {what}: {' '.join(str(problem).split()) or type(problem).__name__}")
        else:
            tell(f"trace of {what}: {path}")


def _replayed(
    task: MeasurementTask, spec: RunSpec, info: EngineInfo, journal: Iterable[Measurement]
) -> Iterator[tuple[Trial, Measurement]]:
    trials = task.trials(spec, info)
    trial = next(trials, None)
    for measurement in journal:
        if trial is None:
            return
        yield trial, measurement
        try:
            trial = trials.send(measurement)
        except StopIteration:
            return


def _is_measured(measurement: Measurement) -> bool:
    rows = measurement.completions
    return measurement.phase == MEASURE and bool(rows) and all(row.error is None for row in rows)


def _shortened(trial: Trial) -> Trial:
    requests = tuple(
        replace(request, max_new_tokens=min(request.max_new_tokens, TRACED_TOKENS), only_end_timed=False)
        for request in trial.requests
    )
    return replace(trial, requests=requests)


def _run(engine: Engine, trial: Trial) -> None:
    for _ in engine.complete(trial.requests, batch_size=trial.batch_size):
        pass
