"""One run beside an earlier one: which numbers are worse or better, by the rules of `modeltest compare`.

A regression is what fails a gate of `compare`; an improvement is what would fail it with the runs exchanged.
Where a time is not VALID, it is neither: it is doubtful. A search is judged by its certificates, which hold
though its answer is BORDERLINE.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import median

from modeltest.api import (
    AccuracySummary,
    Compared,
    Finding,
    FindingCode,
    GateOutcome,
    Mark,
    MaxBatchSummary,
    MetricComparison,
    PairedTable,
    PerformanceSummary,
    RunResult,
    Summary,
    Verdict,
)
from modeltest.compare.accuracy import paired_accuracy
from modeltest.compare.answer_gates import is_drop
from modeltest.compare.comparable import run_differences
from modeltest.compare.max_batch import compare_searches, max_batch_gates
from modeltest.compare.performance import SHOWN, Shape, TrialValues, compare_sessions, latency_gates
from modeltest.compare.soundness import unsound_shapes
from modeltest.compare.tolerances import FLOORS, RELATIVE_TOLERANCE, Tolerances
from modeltest.dashboard.evidence import FAILED, RIGHT, Answers, Evidence
from modeltest.findings import sentence
from modeltest.present.max_batch import search_name

JUDGED = frozenset({"accuracy", "max_batch", *FLOORS})
"""Families that have a gate."""

ALLOWED = frozenset({"cases"})
"""What may differ though `compare` refuses it: a series is of one case."""

Found = Mapping[tuple[str, str], Compared]
"""By family and part of the run."""

_KINDS: Mapping[type[Summary], str] = {
    AccuracySummary: "accuracy",
    PerformanceSummary: "performance",
    MaxBatchSummary: "max_batch",
}


@dataclass(frozen=True, slots=True)
class Side:
    """One of two runs that are compared."""

    result: RunResult
    evidence: Evidence | None


def compare_runs(reference: Side, candidate: Side, tolerances: Tolerances) -> Found:
    """Return what the candidate's judged numbers are beside the reference's, of the others nothing."""
    summary = candidate.result.summary
    kind = _KINDS.get(type(summary)) if summary is not None else None
    if kind is None:
        return {}
    different = [
        each
        for each in run_differences(kind, reference.result, candidate.result)
        if each.category and each.category not in ALLOWED
    ]
    if different:
        first = different[0]
        note = Finding(
            FindingCode.NOT_COMPARABLE,
            {"fact": first.fact, "reference": first.reference, "candidate": first.candidate},
        )
        return {("", ""): noted(Compared(Mark.UNCOMPARED), note)}
    return dict(_COMPARE[kind](reference, candidate, tolerances))


def found_for(found: Found, family: str, part: str) -> Compared:
    """Return what was found of one number; of runs that are not comparable, why."""
    return (
        found.get((family, part))
        or found.get(("", ""))
        or noted(Compared(Mark.UNCOMPARED), Finding(FindingCode.NOT_IN_BOTH_RUNS))
    )


def noted(compared: Compared, note: Finding) -> Compared:
    """Return `compared` with what its mark rests on."""
    return replace(compared, note=sentence(note), note_code=note)


_Item = tuple[tuple[str, str], Compared]


def _compare_accuracy(reference: Side, candidate: Side, tolerances: Tolerances) -> Iterator[_Item]:
    one, other = reference.evidence, candidate.evidence
    if one is None or other is None or one.answers is None or other.answers is None:
        return
    table = paired_table(one.answers, other.answers)
    overall = paired_accuracy(table)
    if overall.difference is None:
        return
    swapped = replace(table, reference_only=table.candidate_only, candidate_only=table.reference_only)
    allowed, risk = tolerances.allowed_drop, tolerances.risk
    mark = Mark.STEADY
    if is_drop(overall, max_drop=allowed, risk=risk):
        mark = Mark.REGRESSION
    elif is_drop(paired_accuracy(swapped), max_drop=allowed, risk=risk):
        mark = Mark.IMPROVEMENT
    compared = Compared(
        mark=mark,
        change=overall.difference,
        low=overall.interval.low if overall.interval else None,
        high=overall.interval.high if overall.interval else None,
    )
    note = Finding(
        FindingCode.RIGHT_BEFORE_AND_NOW,
        {
            "questions": table.questions,
            "before": table.reference_only,
            "now": table.candidate_only,
            "p_value": overall.p_value,
        },
    )
    yield (("accuracy", ""), noted(compared, note))


def paired_table(reference: Answers, candidate: Answers) -> PairedTable:
    """Return the questions that neither run failed, by which of them answered right."""
    before = dict(zip(reference.questions, reference.outcomes, strict=True))
    counts = {(True, True): 0, (True, False): 0, (False, True): 0, (False, False): 0}
    for question, outcome in zip(candidate.questions, candidate.outcomes, strict=True):
        earlier = before.get(question, FAILED)
        if FAILED not in (earlier, outcome):
            counts[earlier == RIGHT, outcome == RIGHT] += 1
    return PairedTable(counts[True, True], counts[True, False], counts[False, True], counts[False, False])


def _compare_performance(reference: Side, candidate: Side, tolerances: Tolerances) -> Iterator[_Item]:
    if reference.evidence is None or candidate.evidence is None:
        return
    before, after = reference.evidence.session(), candidate.evidence.session()
    unsound = unsound_shapes((reference.result, candidate.result))
    for shape in (shape for shape in after if shape in before):
        part = f"{shape[0].shape}.batch{shape[1]}"
        for name in FLOORS:
            one, other = before[shape].get(name, ()), after[shape].get(name, ())
            if one and other and median(one) > 0 and median(other) > 0:
                compared = _compare_metric(shape, name, one, other, tolerances)
                yield (name, part), _without_verdict(compared, unsound.get(shape))


def _compare_metric(
    shape: Shape, name: str, before: Sequence[float], after: Sequence[float], tolerances: Tolerances
) -> Compared:
    """Compare one metric; trials are resampled only where the medians leave the gate something to decide."""
    ratio = median(after) / median(before)
    limit = 1 + (RELATIVE_TOLERANCE if tolerances.latency is None else tolerances.latency)
    if tolerances.calibration is None and 1 / limit <= ratio <= limit:
        return Compared(Mark.STEADY, change=ratio - 1)
    worse, note = _gated(shape, name, before, after, tolerances)
    if worse is None:
        return Compared(Mark.STEADY, change=ratio - 1)
    better, _ = _gated(shape, name, after, before, tolerances)
    interval = worse.ratio_interval
    compared = Compared(
        mark=_mark(worse, better, tolerances),
        change=worse.ratio - 1,
        low=interval.low - 1 if interval else None,
        high=interval.high - 1 if interval else None,
    )
    return noted(compared, note) if note else compared


def _without_verdict(compared: Compared, verdict: Verdict | None) -> Compared:
    """Take a mark back that rests on numbers which are not VALID but `verdict`."""
    if verdict is None or compared.mark not in (Mark.REGRESSION, Mark.IMPROVEMENT):
        return compared
    doubt = Finding(FindingCode.ONE_DECIDES_NOTHING, {"verdict": verdict.value})
    return noted(replace(compared, mark=Mark.DOUBTFUL), doubt)


def _gated(
    shape: Shape, name: str, before: Sequence[float], after: Sequence[float], tolerances: Tolerances
) -> tuple[MetricComparison | None, Finding | None]:
    found = compare_sessions([_only(shape, name, before)], [_only(shape, name, after)], tolerances)
    gates = list(latency_gates(found, share=tolerances.risk))
    return (found[0], gates[0].statement_code) if found and gates else (None, None)


def _only(shape: Shape, name: str, values: Sequence[float]) -> Mapping[Shape, TrialValues]:
    return {shape: {shown: values if shown == name else () for shown in SHOWN}}


def _mark(worse: MetricComparison, better: MetricComparison | None, tolerances: Tolerances) -> Mark:
    for found, mark in ((worse, Mark.REGRESSION), (better, Mark.IMPROVEMENT)):
        if found is not None:
            gates = latency_gates([found], share=tolerances.risk)
            if any(gate.outcome is GateOutcome.FAIL for gate in gates):
                return mark
    return Mark.STEADY


def _compare_max_batch(reference: Side, candidate: Side, tolerances: Tolerances) -> Iterator[_Item]:
    before, after = reference.result.summary, candidate.result.summary
    if not isinstance(before, MaxBatchSummary) or not isinstance(after, MaxBatchSummary):
        return
    exchanged = {each.case: each for each in compare_searches(after, before)}
    for one in compare_searches(before, after):
        (worse,) = max_batch_gates([one], tolerance=tolerances.max_batch)
        (better,) = max_batch_gates([exchanged[one.case]], tolerance=tolerances.max_batch)
        mark = Mark.STEADY
        if worse.outcome is GateOutcome.FAIL:
            mark = Mark.REGRESSION
        elif better.outcome is GateOutcome.FAIL:
            mark = Mark.IMPROVEMENT
        change = None
        if one.reference_batch and one.candidate_batch:
            change = one.candidate_batch / one.reference_batch - 1
        yield (
            ("max_batch", search_name(one.case, one.limit_ms)),
            Compared(mark, change=change, note=worse.statement, note_code=worse.statement_code),
        )


_COMPARE = {
    "accuracy": _compare_accuracy,
    "performance": _compare_performance,
    "max_batch": _compare_max_batch,
}
