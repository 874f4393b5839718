"""From the evidence of a max-batch search to its answer, with verdict and reasons."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from modeltest.api import (
    Case,
    CaseSummary,
    Finding,
    FindingCode,
    LatencyLine,
    MaxBatchCase,
    SearchStatus,
    Verdict,
)
from modeltest.findings import sentence, sentences
from modeltest.search import FULL_EFFORT, Evidence, SearchOutcome, SearchRange, conclude
from modeltest.tasks.case_summary import summarize_case
from modeltest.tasks.plausibility import Hardware, implausible
from modeltest.tasks.readings import MEASURE, TrialReading
from modeltest.tasks.shapes import Combination


def summarize_search(
    case: Case,
    bounds: SearchRange,
    evidence: Evidence,
    readings: Mapping[int, Sequence[TrialReading]],
    *,
    is_finished: bool,
    hardware: Hardware,
) -> MaxBatchCase:
    """Return the answer of one case; `readings` are its trials of full length by batch size.

    An answer that `hardware` cannot have given is INVALID.
    """
    outcome = conclude(bounds, evidence, is_finished=is_finished)
    answer = next((probe for probe in outcome.probes if probe.batch_size == outcome.max_batch), None)
    measured = {
        size: _summarize(Combination(0, case, size), trials, hardware)
        for size, trials in readings.items()
        if any(trial.phase == MEASURE or trial.problems for trial in trials)
    }
    verdict, reasons = _judge(outcome, measured.get(outcome.max_batch or 0))
    line = evidence.latency_fit()
    reason = _with_effort(outcome.reason, evidence)
    return MaxBatchCase(
        case=case,
        lowest=bounds.lowest,
        highest=bounds.highest,
        limit_ms=evidence.limit_ms,
        status=outcome.status,
        reason=sentence(reason),
        reason_code=reason,
        max_batch=outcome.max_batch,
        latency_ms=answer.latency_ms if answer else None,
        high_ms=answer.high_ms if answer else None,
        bound=outcome.bound,
        verdict=verdict,
        reasons=sentences(reasons),
        reason_codes=reasons,
        probes=outcome.probes,
        measured=tuple(measured.values()),
        line=LatencyLine(line.start_ms, line.slope_ms) if line else None,
    )


def _summarize(combination: Combination, trials: Sequence[TrialReading], hardware: Hardware) -> CaseSummary:
    # How many trials a batch takes is up to the search; that it lacks some is said there.
    measured = sum(trial.phase == MEASURE for trial in trials)
    return summarize_case(combination, trials, expected_trials=measured, hardware=hardware)


def _judge(outcome: SearchOutcome, answer: CaseSummary | None) -> tuple[Verdict, tuple[Finding, ...]]:
    """Judge a search by how it ended; scatter of the answer's trials is part of its test already.

    A BORDERLINE answer was measured like any other; whether it is the largest is hidden in the scatter.
    """
    impossible = implausible(answer.achieved) if answer and answer.achieved else ()
    if impossible:
        return Verdict.INVALID, impossible
    if outcome.status is not SearchStatus.BORDERLINE:
        return Verdict.VALID, ()
    verdict = Verdict.NOISY if outcome.is_sound else Verdict.INVALID
    ended = {"status": outcome.status.value, "about": outcome.reason}
    return verdict, (Finding(FindingCode.SEARCH_ENDED, ended),)


def _with_effort(reason: Finding, evidence: Evidence) -> Finding:
    effort = evidence.effort
    if effort == FULL_EFFORT:
        return reason
    return Finding(
        FindingCode.QUICK_SEARCH,
        {
            "about": reason,
            "answer_trials": effort.answer_trials,
            "full_answer_trials": FULL_EFFORT.answer_trials,
            "bound_trials": effort.bound_trials,
            "full_bound_trials": FULL_EFFORT.bound_trials,
        },
    )
