from io import StringIO

import pytest
from made_answers import sample
from made_runs import accuracy_result, performance_result, precision_result

from modeltest.api import Case, Comparison, Decision, Gate, GateOutcome, MaxBatchComparison, SearchStatus
from modeltest.compare.runs import compare_runs
from modeltest.compare.sessions import RunToCompare
from modeltest.compare.tolerances import Tolerances
from modeltest.console import plain_console
from modeltest.tables.comparison import print_comparison


def printed(comparison: Comparison) -> str:
    console = plain_console(width=160, record=True, file=StringIO())
    print_comparison(console, comparison)
    return "\n".join(" ".join(line.split()) for line in console.export_text().splitlines())


def compare(reference, candidate):
    return compare_runs(
        [RunToCompare("A", reference)], [RunToCompare("B", candidate)], tolerances=Tolerances()
    )


def test_answers_show_table_subjects_and_flips():
    text = printed(
        compare(
            accuracy_result([sample("law/0", "yes", logprobs=(-0.1, -2)), sample("art/0", "yes")]),
            accuracy_result([sample("law/0", "no", logprobs=(-2, -0.1)), sample("art/0", "yes")]),
        )
    )
    assert "reference: tiny with hf_fp32 (hf on cpu in float32)" in text
    assert "answered differently: 1 of 2 (50.00%), 1 with a wide margin, 0 near a tie" in text
    assert "law 1 100.00% 0.00% -100.00% 1 1" in text
    assert "law/0 yes yes 1.9 no 1.9 wide" in text


def test_times_show_ratio_interval_and_what_is_allowed():
    text = printed(compare(performance_result(), performance_result(12)))
    assert "8x3 1 tpot_ms 10 12 x1.200" in text
    assert "x1.050" in text


def test_outputs_show_where_they_part():
    text = printed(compare(precision_result(), precision_result((5, 9, 7))))
    assert "2x3 batch 1, prompt 0 1 6 9" in text


@pytest.mark.parametrize(
    ("outcome", "decision"),
    list(zip(GateOutcome, (Decision.ACCEPT, Decision.REJECT, Decision.UNDECIDED), strict=True)),
)
def test_searches_show_both_answers(outcome, decision):
    found = MaxBatchComparison(Case(8, 4), 50.0, 64, 60, 65, 61, SearchStatus.FOUND, SearchStatus.FOUND, -4)
    gate = Gate("max_batch", "8x4 within 50 ms", outcome, "why", 60.0, 61.0, "requests")
    one = compare(precision_result(), precision_result())
    comparison = Comparison(
        *(
            "max_batch",
            "performance_maxbs",
            decision,
            (gate,),
            one.reference,
            one.candidate,
            (),
            (),
            ("n",),
            0.95,
        ),
        max_batch=(found,),
    )
    text = printed(comparison)
    assert "8x4 50 64 60 -4 61 FOUND -> FOUND" in text
    assert "note: n" in text
    assert f"outcome: {decision.value}" in text
