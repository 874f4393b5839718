"""The answer of a search: what the evidence proves when no more trials come."""

from __future__ import annotations

from dataclasses import dataclass

from modeltest.api import Finding, FindingCode, Probe, ProbeDecision, SearchStatus
from modeltest.search.batch_evidence import BatchEvidence
from modeltest.search.evidence import Evidence
from modeltest.search.max_batch import top_of
from modeltest.search.trial_plan import SearchRange


@dataclass(frozen=True, slots=True)
class SearchOutcome:
    """`max_batch` was certified to be within the limit; `bound` is the smallest batch known not to do.

    `reason` says what the status rests on. `is_sound` is false when something went wrong: a batch gave no
    reading, or the search was cut short.
    """

    status: SearchStatus
    max_batch: int | None
    bound: int | None
    reason: Finding
    is_sound: bool
    probes: tuple[Probe, ...]


def conclude(bounds: SearchRange, evidence: Evidence, *, is_finished: bool) -> SearchOutcome:
    """Return what `evidence` proves, also when the search was cut short.

    The answer is the largest certified batch. FOUND: the batch above it exceeds the limit. MEMORY_LIMITED:
    it does not fit. RANGE_LIMITED: it is outside the range. NONE_FEASIBLE: the lowest batch does not do.
    BORDERLINE: the batch above neither meets the limit nor exceeds it, gave no reading, or was not reached.
    """
    certified = [found.batch_size for found in evidence if evidence.is_certified(found.batch_size)]
    best = max(certified, default=None)
    status, reason, is_sound = _status(bounds, evidence, best, is_finished=is_finished)
    above = evidence.infeasible(or_borderline=False)
    beyond = [size for size in above if best is None or size > best]
    top = top_of(bounds, evidence)
    if top < bounds.highest:
        beyond.append(top + 1)
    return SearchOutcome(
        status=status,
        max_batch=best,
        bound=min(beyond, default=None),
        reason=reason,
        is_sound=is_sound,
        probes=tuple(_probe(found, evidence) for found in evidence),
    )


def _status(
    bounds: SearchRange, evidence: Evidence, best: int | None, *, is_finished: bool
) -> tuple[SearchStatus, Finding, bool]:
    if best == bounds.highest:
        return SearchStatus.RANGE_LIMITED, Finding(FindingCode.END_OF_RANGE, {"batch_size": best}), True
    above = bounds.lowest if best is None else best + 1
    at_limit = {"batch_size": above, "limit_ms": evidence.limit_ms}
    found, decision = evidence.of(above), evidence.decision(above)
    out_of_memory = SearchStatus.NONE_FEASIBLE if best is None else SearchStatus.MEMORY_LIMITED
    if decision is ProbeDecision.OUT_OF_MEMORY:
        return out_of_memory, Finding(FindingCode.BATCH_OUT_OF_MEMORY, {"batch_size": above}), True
    if bounds.too_large is not None and above >= bounds.too_large:
        easier = {"batch_size": bounds.too_large}
        return out_of_memory, Finding(FindingCode.EASIER_CASE_OUT_OF_MEMORY, easier), True
    if decision is ProbeDecision.FAILED:
        without = Finding(FindingCode.BATCH_WITHOUT_READING, {"batch_size": above})
        return SearchStatus.BORDERLINE, without, False
    if decision is ProbeDecision.FAIL and len(found.trials_ms) >= evidence.effort.bound_trials:
        exceeds = SearchStatus.NONE_FEASIBLE if best is None else SearchStatus.FOUND
        return exceeds, Finding(FindingCode.BATCH_EXCEEDS_LIMIT, at_limit), True
    if is_finished and above > top_of(bounds, evidence):
        predicted = Finding(FindingCode.BATCH_PREDICTED_NOT_TO_FIT, {"batch_size": above})
        return out_of_memory, predicted, True
    if not is_finished:
        passing = max(evidence.passing(), default=None)
        return SearchStatus.BORDERLINE, Finding(FindingCode.SEARCH_CUT_SHORT, {"passing": passing}), False
    undecided = Finding(FindingCode.BATCH_UNDECIDED, {**at_limit, "trials": len(found.trials_ms)})
    if decision in (ProbeDecision.PASS, ProbeDecision.OPEN) or not found.trials_ms:
        undecided = Finding(FindingCode.BATCHES_LOST_IN_SCATTER, at_limit)
    return SearchStatus.BORDERLINE, undecided, best is not None


def _probe(found: BatchEvidence, evidence: Evidence) -> Probe:
    decision = evidence.decision(found.batch_size)
    where = None if found.has_ended else evidence.interval(found.batch_size)
    return Probe(
        batch_size=found.batch_size,
        decision=decision,
        latency_ms=where.mean_ms if where else None,
        low_ms=where.low_ms if where else None,
        high_ms=where.high_ms if where else None,
        trials_ms=tuple(found.trials_ms),
        warmups_ms=tuple(found.warmups_ms),
        screens_ms=tuple(found.screens_ms),
        disturbed_trials=where.disturbed if where else 0,
        peak_memory_bytes=found.peak_memory_bytes,
        is_certified=evidence.is_certified(found.batch_size),
    )
