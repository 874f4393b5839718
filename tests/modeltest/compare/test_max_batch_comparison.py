import pytest

from modeltest.api import Case, GateOutcome, MaxBatchCase, MaxBatchSummary, SearchStatus, Verdict
from modeltest.compare.max_batch import compare_searches, max_batch_gates


def search(batch, bound, *, case=None, status=SearchStatus.FOUND):
    case = case or Case(64, 32)
    return MaxBatchCase(
        *(case, 1, 2048, 50.0, status, "", batch, 49.0, 49.5, bound, Verdict.VALID, (), (), ())
    )


def gate(reference, candidate, tolerance=0.05):
    found = compare_searches(MaxBatchSummary((reference,)), MaxBatchSummary((candidate,)))
    (only,) = max_batch_gates(found, tolerance=tolerance)
    return only


@pytest.mark.parametrize(
    ("batch", "bound", "expected"),
    [
        (100, 101, GateOutcome.PASS),
        (120, 121, GateOutcome.PASS),
        (95, 96, GateOutcome.PASS),
        (94, 95, GateOutcome.FAIL),
        (50, 51, GateOutcome.FAIL),
        (90, 98, GateOutcome.INCONCLUSIVE),
        (90, None, GateOutcome.INCONCLUSIVE),
        (None, 1, GateOutcome.FAIL),
    ],
)
def test_the_certificate_decides(batch, bound, expected):
    assert gate(search(100, 101), search(batch, bound)).outcome is expected


def test_a_reference_without_a_batch_asks_for_nothing():
    only = gate(search(None, 1, status=SearchStatus.NONE_FEASIBLE), search(None, 1))
    assert only.outcome is GateOutcome.PASS
    assert only.statement.endswith("the reference has no batch to keep to")


def test_small_batches_are_not_rounded_away():
    assert gate(search(1, 2), search(1, 2)).limit == 1
    assert gate(search(10, 11), search(10, 11)).limit == 10, "5 % of 10 are no whole request"
    assert gate(search(20, 21), search(19, 20)).limit == 19


def test_only_cases_of_both_are_compared():
    one = MaxBatchSummary((search(10, 11), search(5, 6, case=Case(8, 8))))
    found = compare_searches(one, MaxBatchSummary((search(12, 13),)))
    assert [(each.case, each.difference) for each in found] == [(Case(64, 32), 2)]
