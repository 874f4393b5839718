from dataclasses import replace

import pytest

from modeltest.api import (
    AccuracySummary,
    Case,
    CaseSummary,
    MaxBatchCase,
    MaxBatchSummary,
    PerformanceSummary,
    PrecisionOutput,
    PrecisionSummary,
    Proportion,
    SearchStatus,
    Verdict,
)
from modeltest.run.finish import judge

CASE = CaseSummary(Case(64, 32), 4, 5, 1, {}, None, Verdict.VALID, ())
NOISY = replace(CASE, batch_size=8, verdict=Verdict.NOISY, reasons=("CV 9%",))
BROKEN = replace(CASE, batch_size=16, verdict=Verdict.INVALID, reasons=("out of memory",))


def accuracy(total: int, failed: int) -> AccuracySummary:
    micro = Proportion(0, total, None, None, None, None)
    return AccuracySummary(micro, None, {}, {}, {}, failed, 0, 0, 0, 0, (), 1e-4, "")


def search(status: SearchStatus, max_batch: int | None, *measured: CaseSummary) -> MaxBatchSummary:
    case = MaxBatchCase(Case(64, 32), 1, 64, 20.0, status, max_batch, None, (), measured)
    return MaxBatchSummary((case,))


@pytest.mark.parametrize(
    ("total", "failed", "verdict", "reasons"),
    [
        (10, 0, Verdict.VALID, ()),
        (10, 1, Verdict.INVALID, ("1 of 10 questions failed",)),
        (0, 0, Verdict.INVALID, ("no question was asked",)),
    ],
)
def test_one_failed_question_spoils_an_accuracy_run(total, failed, verdict, reasons):
    assert judge(accuracy(total, failed)) == (verdict, reasons)


def test_questions_that_were_never_asked_spoil_an_accuracy_run():
    verdict, reasons = judge(accuracy(6, 0), expected_questions=10)
    assert verdict is Verdict.INVALID
    assert reasons == ("6 of 10 questions were asked: the run was cut short",)
    assert judge(accuracy(10, 0), expected_questions=10) == (Verdict.VALID, ())


def test_a_performance_run_is_as_good_as_its_worst_case():
    assert judge(PerformanceSummary((CASE,))) == (Verdict.VALID, ())
    assert judge(PerformanceSummary((CASE, NOISY))) == (Verdict.NOISY, ("64x32 batch 8: CV 9%",))
    verdict, reasons = judge(PerformanceSummary((BROKEN, NOISY)))
    assert verdict is Verdict.INVALID
    assert reasons == ("64x32 batch 16: out of memory", "64x32 batch 8: CV 9%")


def test_a_performance_run_without_cases_is_invalid():
    assert judge(PerformanceSummary(()))[0] is Verdict.INVALID


def test_a_search_is_judged_by_its_answer_not_by_its_failed_probes():
    assert judge(search(SearchStatus.MEMORY_LIMITED, 4, CASE, BROKEN)) == (Verdict.VALID, ())
    assert judge(search(SearchStatus.FOUND, 8, CASE, NOISY))[0] is Verdict.NOISY
    assert judge(search(SearchStatus.NONE_FEASIBLE, None, BROKEN)) == (Verdict.VALID, ())


def test_a_search_left_open_is_invalid():
    verdict, reasons = judge(search(SearchStatus.BORDERLINE, 4, CASE))
    assert verdict is Verdict.INVALID
    assert reasons == ("64x32: the search ended BORDERLINE",)


OUTPUT = PrecisionOutput(Case(8, 3), 2, 0, (5,), (7,), None, None, 2, 0, None, Verdict.VALID, ())


@pytest.mark.parametrize(
    ("outputs", "verdict"),
    [
        ((OUTPUT,), Verdict.VALID),
        ((OUTPUT, replace(OUTPUT, verdict=Verdict.NOISY)), Verdict.NOISY),
        ((replace(OUTPUT, verdict=Verdict.INVALID), replace(OUTPUT, verdict=Verdict.NOISY)), Verdict.INVALID),
        ((), Verdict.INVALID),
    ],
)
def test_a_precision_run_is_as_good_as_its_worst_output(
    outputs: tuple[PrecisionOutput, ...], verdict: Verdict
) -> None:
    assert judge(PrecisionSummary(outputs))[0] is verdict


def test_reasons_of_outputs_name_their_case_and_batch() -> None:
    assert judge(PrecisionSummary((replace(OUTPUT, reasons=("rows differ",)),)))[1] == (
        "8x3 batch 2: rows differ",
    )
