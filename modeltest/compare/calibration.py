"""How much equal runs differ on one machine, and the tolerance that follows from it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from math import exp, log, sqrt
from statistics import median, stdev

from modeltest.api import CalibratedTolerance, Calibration, RunDifference, RunResult, SpecError
from modeltest.compare.performance import Shape, read_session
from modeltest.compare.tolerances import FLOORS
from modeltest.search.student_t import t_quantile

RISK = 0.01
"""How often two equal sessions may differ by more than the tolerance, by one metric of one case."""

FEWEST_SESSIONS = 4
LEAST_TOLERANCE = 0.01
"""No machine is trusted to repeat itself more closely than this."""

MACHINE_FACTS = ("processor", "cpus", "architecture", "memory_bytes")
"""What makes it another machine."""


def calibrate(runs: Sequence[RunResult], *, created: str) -> Calibration:
    """Return the tolerances that equal `runs` suggest, one for each metric of each case that is judged.

    The logarithms of two sessions' medians differ with a standard deviation of sqrt(2) s, s that of the
    sessions. The tolerance is what their ratio exceeds with probability `RISK`, by Student's t, as s is known
    from the sessions alone; and no less than the largest ratio seen.

    Raises: SpecError for fewer runs than `FEWEST_SESSIONS`, or without a case that all of them measured.
    """
    if len(runs) < FEWEST_SESSIONS:
        raise SpecError(
            f"{len(runs)} sessions do not show how much they differ; at least {FEWEST_SESSIONS} are needed"
        )
    sessions = [read_session(run) for run in runs]
    shapes = [shape for shape in sessions[0] if all(shape in each for each in sessions)]
    found = []
    for shape in shapes:
        for metric in FLOORS:
            medians = [median(each[shape][metric]) for each in sessions if each[shape][metric]]
            if len(medians) == len(sessions) and min(medians) > 0:
                found.append(tolerance_of(shape, metric, medians))
    if not found:
        raise SpecError("the sessions have no case and batch size in common that was measured")
    first = runs[0]
    return Calibration(
        created=created,
        machine={name: first.machine.get(name) for name in MACHINE_FACTS},
        device=first.engine.device if first.engine else None,
        adapter=first.adapter,
        dtype=first.engine.dtype if first.engine else None,
        model=first.model.label,
        world_size=first.spec.world_size,
        sessions=len(runs),
        risk=RISK,
        tolerances=tuple(found),
    )


def tolerance_of(shape: Shape, metric: str, medians: Sequence[float]) -> CalibratedTolerance:
    """Return the tolerance for one metric of one case from the medians of equal sessions."""
    case, batch_size = shape
    spread = stdev(map(log, medians))
    largest = max(medians) / min(medians)
    expected = exp(t_quantile(1 - RISK, len(medians) - 1) * sqrt(2) * spread) - 1
    return CalibratedTolerance(
        case=case,
        batch_size=batch_size,
        metric=metric,
        sessions=len(medians),
        session_cv=spread,
        largest_ratio=largest,
        tolerance=max(expected, largest - 1, LEAST_TOLERANCE),
    )


def calibration_differences(
    calibration: Calibration | None, runs: Iterable[RunResult]
) -> Iterator[RunDifference]:
    """Yield how the machine and device of `runs` differ from those that were calibrated."""
    if calibration is None:
        return
    for run in runs:
        then = {**calibration.machine, "device": calibration.device, "ranks": calibration.world_size}
        now = {
            **{name: run.machine.get(name) for name in calibration.machine},
            "device": run.engine.device if run.engine else None,
            "ranks": run.spec.world_size,
        }
        for name, value in then.items():
            if value != now[name]:
                yield RunDifference(
                    "device", f"{name} that was calibrated", str(value), f"{now[name]} in a run"
                )
