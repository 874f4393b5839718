"""The answers of two max-batch searches side by side, with what certifies them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import floor

from modeltest.api import (
    Finding,
    FindingCode,
    Gate,
    GateOutcome,
    MaxBatchCase,
    MaxBatchComparison,
    MaxBatchSummary,
)
from modeltest.findings import sentence


def compare_searches(
    reference: MaxBatchSummary, candidate: MaxBatchSummary
) -> tuple[MaxBatchComparison, ...]:
    """Return every case that both searched, in the order of the reference."""
    others = {case.case: case for case in candidate.cases}
    return tuple(_compare(case, others[case.case]) for case in reference.cases if case.case in others)


def max_batch_gates(found: Sequence[MaxBatchComparison], *, tolerance: float) -> Iterator[Gate]:
    """Yield one gate per case.

    PASS: the candidate's answer, certified by its trials, is within the tolerance of the reference's.
    FAIL: a batch that small is known not to do. Between its answer and that batch nothing is known.
    """
    for each in found:
        part = f"{each.case.shape} within {each.limit_ms:g} ms"
        least = _least(each, tolerance)
        value = None if each.candidate_batch is None else float(each.candidate_batch)
        statement = _statement(each, least)
        yield Gate(
            name="max_batch",
            outcome=_outcome(each, least),
            statement=sentence(statement),
            part=part,
            value=value,
            limit=float(least),
            unit="requests",
            statement_code=statement,
        )


def _compare(reference: MaxBatchCase, candidate: MaxBatchCase) -> MaxBatchComparison:
    known = reference.max_batch is not None and candidate.max_batch is not None
    return MaxBatchComparison(
        case=reference.case,
        limit_ms=reference.limit_ms,
        reference_batch=reference.max_batch,
        candidate_batch=candidate.max_batch,
        reference_bound=reference.bound,
        candidate_bound=candidate.bound,
        reference_status=reference.status,
        candidate_status=candidate.status,
        difference=(candidate.max_batch or 0) - (reference.max_batch or 0) if known else None,
    )


def _least(each: MaxBatchComparison, tolerance: float) -> int:
    """Return the smallest batch that is within the tolerance; 0 where the reference found none."""
    if each.reference_batch is None:
        return 0
    # Rounding must not ask for more than the reference itself found.
    return max(1, each.reference_batch - floor(each.reference_batch * tolerance + 1e-9))


def _outcome(each: MaxBatchComparison, least: int) -> GateOutcome:
    if least == 0 or (each.candidate_batch is not None and each.candidate_batch >= least):
        return GateOutcome.PASS
    if each.candidate_bound is not None and each.candidate_bound <= least:
        return GateOutcome.FAIL
    return GateOutcome.INCONCLUSIVE


def _statement(each: MaxBatchComparison, least: int) -> Finding:
    found = {
        "reference": each.reference_batch,
        "reference_status": each.reference_status.value,
        "candidate": each.candidate_batch,
        "candidate_status": each.candidate_status.value,
        "bound": each.candidate_bound,
    }
    if least == 0:
        return Finding(FindingCode.NO_BATCH_TO_KEEP_TO, found)
    return Finding(FindingCode.MAX_BATCHES, {**found, "least": least})
