from dataclasses import replace

import pytest
from shown_results import CASE, RESULT

from modeltest.api import (
    Achieved,
    Case,
    CasePrompts,
    CaseSummary,
    EngineUsage,
    Overhead,
    PerformanceSummary,
    Verdict,
)
from modeltest.console import plain_console
from modeltest.tables import print_verdict


def test_the_share_of_the_model_and_the_reasons_are_said(capsys):
    usage = EngineUsage(9.0, 12, computed_tokens=70, reused_tokens=30, padding_tokens=0, split_batches=2)
    result = replace(RESULT, usage=usage, timing_s={"run": 10.0}, reasons=("[odd] reason",))
    print_verdict(plain_console(width=120), result)
    assert capsys.readouterr().out.splitlines() == [
        "10 s, 90% of it in 12 forward calls; 70 tokens computed, 30 reused",
        "2 batches ran out of memory and were run again in smaller ones",
        "verdict: VALID",
        "  [odd] reason",
    ]


def test_an_engine_that_counts_nothing_says_nothing(capsys):
    print_verdict(plain_console(width=120), replace(RESULT, usage=EngineUsage(), timing_s={"run": 10.0}))
    assert capsys.readouterr().out == "verdict: VALID\n"


@pytest.mark.parametrize(("differing", "said"), [(0, "none differs"), (3, "3 differ, see log.txt")])
def test_times_held_against_another_clock_are_counted(differing, said, capsys):
    usage = EngineUsage(held_times=40, differing_times=differing)
    print_verdict(plain_console(width=120), replace(RESULT, usage=usage))
    assert capsys.readouterr().out.splitlines()[0] == (
        f"40 times of tokens held against the clock of the engine's library: {said}"
    )


def test_real_prompts_of_a_timed_case_are_described(capsys: pytest.CaptureFixture[str]) -> None:
    prompts = CasePrompts(5, 7.5, 8, 24, ("3 of 24 rows of boolq are longer than 8 tokens: cut at the end",))
    case = CaseSummary(Case(8, 4), 2, 3, 1, {}, None, Verdict.VALID, (), prompts=prompts)
    print_verdict(plain_console(width=140), replace(RESULT, summary=PerformanceSummary((case,))))
    shown = capsys.readouterr().out
    assert "8x4 batch 2: prompts of 5 to 8 tokens (median 7.5); 24 to choose from\n" in shown
    assert "  3 of 24 rows of boolq are longer than 8 tokens: cut at the end\n" in shown


def test_rates_cost_and_memory_of_a_case_are_said_below_the_table(capsys):
    case = replace(
        CASE,
        achieved=Achieved(8e9, 1e10, 2.5e10, 1e11),
        overhead=Overhead(0.004, -0.001, 0.009, 3),
        peak_memory_bytes=512_000_000,
    )
    print_verdict(plain_console(width=160), replace(RESULT, summary=PerformanceSummary((case,))))
    assert capsys.readouterr().out.splitlines()[0] == (
        "64x32 batch 4: decode 8 of 10 GB/s, prefill 0.025 of 0.1 TFLOP/s, timing costs +0.4% "
        "(-0.1% .. +0.9%), peak memory 512 MB"
    )


def test_what_is_unknown_of_a_case_is_left_out(capsys):
    case = replace(CASE, achieved=Achieved(None, 1e10, None, None), overhead=Overhead(0.004, None, None, 1))
    result = replace(RESULT, summary=PerformanceSummary((CASE, case)), warnings=("[odd] warning",))
    print_verdict(plain_console(width=160), result)
    assert capsys.readouterr().out.splitlines() == [
        "64x32 batch 4: timing costs +0.4%",
        "verdict: VALID",
        "warning: [odd] warning",
    ]
