"""Timed runs side by side: each metric of each case, over the sessions of either side."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from modeltest.api import (
    METRIC_DEFINITIONS,
    Case,
    Finding,
    FindingCode,
    Gate,
    GateOutcome,
    MetricComparison,
    RunResult,
    Verdict,
)
from modeltest.compare.resampling import Change, change
from modeltest.compare.slowdown import slowdown_p_value
from modeltest.compare.soundness import ALL_SOUND, Unsound
from modeltest.compare.tolerances import FLOORS, RELATIVE_TOLERANCE, Tolerances
from modeltest.findings import sentence
from modeltest.tasks.readings import MEASURE, of_phase, read_trials, values_of

SHOWN = (*FLOORS, "output_tokens_per_s", "decode_tokens_per_s")
"""The metrics compared; those without a floor follow from the others and are not judged."""

Shape = tuple[Case, int]
"""A case and a batch size."""

TrialValues = Mapping[str, Sequence[float]]
"""The values of each metric over the measured trials of one session."""


def read_session(run: RunResult) -> dict[Shape, TrialValues]:
    """Return the values of every case and batch size of one run."""
    readings = read_trials(run.measurements, run.spec.cases)
    found: dict[Shape, TrialValues] = {}
    for (index, batch_size), trials in readings.items():
        measured = of_phase(MEASURE, trials)
        found[run.spec.cases[index], batch_size] = {name: values_of(name, measured) for name in SHOWN}
    return found


def compare_sessions(
    reference: Sequence[Mapping[Shape, TrialValues]],
    candidate: Sequence[Mapping[Shape, TrialValues]],
    tolerances: Tolerances,
) -> tuple[MetricComparison, ...]:
    """Return every metric of every case that all sessions measured, in the order of the first of them."""
    shapes = [shape for shape in reference[0] if all(shape in each for each in (*reference, *candidate))]
    return tuple(
        found
        for shape in shapes
        for name in SHOWN
        if (found := _compare_metric(shape, name, reference, candidate, tolerances)) is not None
    )


def latency_gates(
    found: Sequence[MetricComparison], *, share: float, unsound: Unsound = ALL_SOUND
) -> Iterator[Gate]:
    """Yield one gate for each metric that is judged; those of `unsound` cases decide nothing.

    `share` is how often one may fail a candidate that is no slower.
    """
    for each in judged(found):
        yield _gate(each, share, unsound.get((each.case, each.batch_size)))


def judged(found: Sequence[MetricComparison]) -> list[MetricComparison]:
    """Return the metrics that have a gate."""
    return [each for each in found if each.tolerance is not None and each.floor is not None]


def _compare_metric(
    shape: Shape,
    name: str,
    reference: Sequence[Mapping[Shape, TrialValues]],
    candidate: Sequence[Mapping[Shape, TrialValues]],
    tolerances: Tolerances,
) -> MetricComparison | None:
    before = [each[shape][name] for each in reference if each[shape][name]]
    after = [each[shape][name] for each in candidate if each[shape][name]]
    if not before or not after:
        return None
    found: Change = change(before, after, confidence=tolerances.confidence)
    if found.reference <= 0:
        return None
    case, batch_size = shape
    calibrated = tolerances.calibrated(case, batch_size, name)
    limit = tolerances.latency
    if limit is None:
        limit = calibrated.tolerance if calibrated else RELATIVE_TOLERANCE
    return MetricComparison(
        case=case,
        batch_size=batch_size,
        metric=name,
        unit=_UNITS[name],
        reference=found.reference,
        candidate=found.candidate,
        ratio=found.ratio,
        ratio_interval=found.ratio_interval,
        difference=found.difference,
        difference_interval=found.difference_interval,
        reference_sessions=len(before),
        candidate_sessions=len(after),
        tolerance=limit if name in FLOORS else None,
        floor=FLOORS.get(name),
        is_calibrated=calibrated is not None and tolerances.latency is None and name in FLOORS,
        p_value=slowdown_p_value(before, after, tolerance=limit, calibrated=calibrated)
        if name in FLOORS
        else None,
    )


_UNITS = {definition.name: definition.unit for definition in METRIC_DEFINITIONS}


def _gate(each: MetricComparison, share: float, verdict: Verdict | None) -> Gate:
    tolerance, floor = each.tolerance or 0.0, each.floor or 0.0
    part = f"{each.case.shape} batch {each.batch_size} {each.metric}"
    interval = each.ratio_interval
    outcome = GateOutcome.INCONCLUSIVE if verdict else _outcome(each, tolerance, floor, share)
    statement = Finding(
        FindingCode.LATENCY_CHANGE,
        {
            "reference": each.reference,
            "candidate": each.candidate,
            "unit": each.unit,
            "ratio": each.ratio,
            "low": interval.low if interval else None,
            "high": interval.high if interval else None,
            "allowed": 1 + tolerance,
            "floor": floor,
        },
    )
    if verdict:
        statement = Finding(
            FindingCode.NUMBERS_DECIDE_NOTHING, {"verdict": verdict.value, "about": statement}
        )
    elif outcome is GateOutcome.FAIL:
        statement = Finding(
            FindingCode.SLOWER_BEYOND_DOUBT, {"p_value": each.p_value, "share": share, "about": statement}
        )
    elif outcome is GateOutcome.INCONCLUSIVE:
        statement = Finding(FindingCode.TOO_NOISY, {"about": statement})
    return Gate(
        name="latency",
        outcome=outcome,
        statement=sentence(statement),
        part=part,
        value=each.ratio,
        limit=1 + tolerance,
        unit="ratio",
        statement_code=statement,
    )


def _outcome(each: MetricComparison, tolerance: float, floor: float, share: float) -> GateOutcome:
    """FAIL where both whole intervals are past what is allowed, not by chance; PASS where one is within."""
    ratio, difference = each.ratio_interval, each.difference_interval
    if ratio is None or difference is None:
        return GateOutcome.INCONCLUSIVE
    if ratio.low > 1 + tolerance and difference.low > floor:
        is_chance = each.p_value is None or each.p_value > share
        return GateOutcome.INCONCLUSIVE if is_chance else GateOutcome.FAIL
    if ratio.high <= 1 + tolerance or difference.high <= floor:
        return GateOutcome.PASS
    return GateOutcome.INCONCLUSIVE
