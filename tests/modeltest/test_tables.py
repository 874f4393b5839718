from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from modeltest.api import (
    AccuracySummary,
    Achieved,
    Case,
    CasePrompts,
    CaseSummary,
    Distribution,
    EngineInfo,
    EngineUsage,
    FirstDifference,
    MaxBatchCase,
    MaxBatchSummary,
    ModelInfo,
    Overhead,
    PerformanceSummary,
    PrecisionOutput,
    PrecisionSummary,
    Probe,
    ProbeDecision,
    RunResult,
    RunSpec,
    SearchStatus,
    TaskOptions,
    Verdict,
)
from modeltest.statistics import proportion
from modeltest.tables import (
    headline,
    print_result,
    print_rows,
    print_verdict,
    probe_table,
    result_table,
    title_of,
)

RESULT = RunResult(
    spec=RunSpec("hf_fp32", "full_CEval", "ceval", "llama", "/w", options=TaskOptions(shots=5)),
    started="2026-01-02T03:04:05+00:00",
    status="complete",
    model=ModelInfo("llama", "llama2_7b", "/w", "llama", "float32", None, 4096, 128, 8, None),
    adapter="hf",
    engine=EngineInfo("hf", "cpu", "float32", 100, (), 4096, {}),
    dataset=None,
    machine={},
    verdict=Verdict.VALID,
)
ACCURACY = AccuracySummary(
    micro=proportion(6, 8),
    macro=0.7,
    subjects={"law": proportion(3, 3), "logic": proportion(3, 5)},
    categories={"Other": proportion(3, 3), "STEM": proportion(3, 5)},
    groups={"C-Eval Hard": proportion(0, 2)},
    failed=1,
    no_answer=0,
    truncated=2,
    dropped_shots=0,
    cut_prompts=0,
    near_ties=("law/1",),
    near_tie_margin=1e-4,
    prompts_sha256="0",
)
CASE = CaseSummary(
    Case(64, 32),
    4,
    trials=5,
    warmup_trials=1,
    metrics={"tpot_ms": Distribution(5, 2.5, 2.5, 0.1, 0.04, 0.1, 2.4, 2.6)},
    peak_memory_bytes=None,
    verdict=Verdict.VALID,
    reasons=(),
)
SEARCH = MaxBatchCase(
    case=Case(64, 32),
    lowest=1,
    highest=64,
    limit_ms=20.0,
    status=SearchStatus.FOUND,
    reason="batch 4 exceeds the limit of 20 ms",
    max_batch=3,
    latency_ms=19.5,
    high_ms=19.8,
    bound=4,
    verdict=Verdict.VALID,
    reasons=(),
    probes=(
        Probe(3, ProbeDecision.PASS, 19.5, 19.2, 19.8, (19.5,) * 5, (21.0,), is_certified=True),
        Probe(4, ProbeDecision.FAIL, screens_ms=(24.0, 23.0)),
        Probe(8, ProbeDecision.OUT_OF_MEMORY),
    ),
    measured=(),
)


def _text(result: RunResult) -> str:
    console = Console(width=120)
    with console.capture() as capture:
        console.print(result_table(result))
    return capture.get()


def _cells(text: str, first: str) -> list[str]:
    (line,) = [line for line in text.splitlines() if line.strip().startswith(first)]
    return line.removeprefix("  " + first).split()


def test_accuracy_is_shown_by_category_group_and_altogether():
    text = _text(replace(RESULT, summary=ACCURACY))
    assert text.startswith("full_CEval, 5 shots: llama2_7b with hf on cpu in float32")
    assert _cells(text, "STEM")[:3] == ["3", "5", "60.00%"]
    assert _cells(text, "C-Eval Hard")[:3] == ["0", "2", "0.00%"]
    assert _cells(text, "all questions")[:3] == ["6", "8", "75.00%"]
    assert _cells(text, "mean of subjects") == ["70.00%"]


def test_what_spoils_accuracy_is_shown_and_what_does_not_occur_is_not():
    text = _text(replace(RESULT, summary=ACCURACY))
    assert _cells(text, "failed") == ["1"]
    assert _cells(text, "truncated") == ["2"]
    assert _cells(text, "near-ties (margin < 0.0001)") == ["1"]
    assert "no answer" not in text


def test_a_metric_that_is_undefined_is_a_dash():
    cells = _cells(_text(replace(RESULT, summary=PerformanceSummary((CASE,)))), "64x32")
    assert cells == ["4", "5", "-", "2.5", "4.0%", "-", "-", "VALID"]


def test_a_search_shows_its_answer():
    text = _text(replace(RESULT, summary=MaxBatchSummary((SEARCH,))))
    assert "non-first token ms" in text
    assert _cells(text, "64x32") == ["1..64", "20", "3", "19.5", "FOUND", "VALID"]
    nothing = replace(SEARCH, max_batch=None, latency_ms=None, status=SearchStatus.NONE_FEASIBLE)
    assert _cells(_text(replace(RESULT, summary=MaxBatchSummary((nothing,)))), "64x32")[2:4] == ["-", "-"]


def test_every_probe_of_a_search_is_shown_with_its_trials_and_its_decision():
    console = Console(width=120)
    with console.capture() as capture:
        console.print(probe_table(MaxBatchSummary((SEARCH,))))
    rows = [line.split() for line in capture.get().splitlines() if line.strip().startswith("64x32")]
    assert rows == [
        ["64x32", "3", "pass,", "certified", "19.5", "19.2", "..", "19.8", "5", "+", "1", "warm-up", "0"],
        ["64x32", "4", "fail", "(23)", "0", "2"],
        ["64x32", "8", "out", "of", "memory", "-", "0", "0"],
    ]


@pytest.mark.parametrize(
    ("summary", "expected"),
    [
        (ACCURACY, "accuracy 75.00% (6/8)"),
        (PerformanceSummary((CASE,)), "64x32 batch 4: TTFT - ms, TPOT 2.5 ms"),
        (
            MaxBatchSummary((SEARCH,)),
            "64x32: max batch 3 (FOUND) within 20 ms, batch 4 exceeds the limit of 20 ms",
        ),
        (None, "complete"),
    ],
)
def test_the_headline_is_one_line(summary, expected):
    assert headline(replace(RESULT, summary=summary)) == expected


def test_the_share_of_the_model_and_the_reasons_are_said(capsys):
    usage = EngineUsage(9.0, 12, computed_tokens=70, reused_tokens=30, padding_tokens=0, split_batches=2)
    result = replace(RESULT, usage=usage, timing_s={"run": 10.0}, reasons=("[odd] reason",))
    print_verdict(Console(width=120), result)
    assert capsys.readouterr().out.splitlines() == [
        "10 s, 90% of it in 12 forward calls; 70 tokens computed, 30 reused",
        "2 batches ran out of memory and were run again in smaller ones",
        "verdict: VALID",
        "  [odd] reason",
    ]


def test_an_engine_that_counts_nothing_says_nothing(capsys):
    print_verdict(Console(width=120), replace(RESULT, usage=EngineUsage(), timing_s={"run": 10.0}))
    assert capsys.readouterr().out == "verdict: VALID\n"


def test_paths_of_the_files_are_printed_but_not_of_those_being_written(tmp_path: Path, capsys):
    for name in ("run.json", ".run.json.123.tmp"):
        (tmp_path / name).write_text("")
    print_result(replace(RESULT, summary=ACCURACY), tmp_path)
    out = capsys.readouterr().out
    assert f"{tmp_path}/run.json\n" in out
    assert ".tmp" not in out


def test_long_cells_are_folded_never_cut(capsys):
    print_rows(("name", "what"), [("a", "word " * 60)])
    assert capsys.readouterr().out.count("word") == 60


PRECISION = PrecisionSummary(
    (
        PrecisionOutput(
            *(Case(8, 3), 2, 0, (5, 6), (7, 8, 9), None, "[red]so\nlong" + "g" * 60, 2, 1),
            FirstDifference(1, 0, 7, 8),
            Verdict.INVALID,
            ("rows differ",),
        ),
        PrecisionOutput(Case(8, 3), 4, 0, (5, 6), (7, 8, 9), None, None, 4, 0, None, Verdict.VALID, ()),
    )
)


def test_outputs_are_shown_by_their_beginning_in_one_line_and_as_they_are() -> None:
    result = replace(RESULT, summary=PRECISION)
    console = Console(width=140, record=True)
    console.print(result_table(result))
    text = console.export_text()
    assert "[red]so" in text
    assert "..." in text
    assert "7 8 9" in text
    assert headline(result).startswith("8x3 batch 2, prompt 0: [red]so")


def test_real_prompts_of_a_timed_case_are_described(capsys: pytest.CaptureFixture[str]) -> None:
    prompts = CasePrompts(5, 7.5, 8, 24, ("3 of 24 rows of boolq are longer than 8 tokens: cut at the end",))
    case = CaseSummary(Case(8, 4), 2, 3, 1, {}, None, Verdict.VALID, (), prompts=prompts)
    print_verdict(Console(width=140), replace(RESULT, summary=PerformanceSummary((case,))))
    shown = capsys.readouterr().out
    assert "8x4 batch 2: prompts of 5 to 8 tokens (median 7.5); 24 to choose from\n" in shown
    assert "  3 of 24 rows of boolq are longer than 8 tokens: cut at the end\n" in shown


def test_the_title_names_quantised_weights():
    assert title_of(RESULT) == "full_CEval, 5 shots: llama2_7b with hf on cpu in float32"
    quantised = replace(RESULT, model=replace(RESULT.model, quantize="w8a8"))
    assert title_of(quantised) == "full_CEval, 5 shots: llama2_7b, w8a8 weights, with hf on cpu in float32"


def test_the_interval_is_shown_as_half_its_width_in_percent():
    tpot = replace(CASE.metrics["tpot_ms"], low=2.45, high=2.55)
    case = replace(CASE, metrics={"tpot_ms": tpot})
    text = _text(replace(RESULT, summary=PerformanceSummary((case,))))
    assert _cells(text, "64x32") == ["4", "5", "-", "2.5", "±2.0%", "4.0%", "-", "-", "VALID"]


def test_rates_cost_and_memory_of_a_case_are_said_below_the_table(capsys):
    case = replace(
        CASE,
        achieved=Achieved(8e9, 1e10, 2.5e10, 1e11),
        overhead=Overhead(0.004, -0.001, 0.009, 3),
        peak_memory_bytes=512_000_000,
    )
    print_verdict(Console(width=160), replace(RESULT, summary=PerformanceSummary((case,))))
    assert capsys.readouterr().out.splitlines()[0] == (
        "64x32 batch 4: decode 8 of 10 GB/s, prefill 0.025 of 0.1 TFLOP/s, timing costs +0.4% "
        "(-0.1% .. +0.9%), peak memory 512 MB"
    )


def test_what_is_unknown_of_a_case_is_left_out(capsys):
    case = replace(CASE, achieved=Achieved(None, 1e10, None, None), overhead=Overhead(0.004, None, None, 1))
    result = replace(RESULT, summary=PerformanceSummary((CASE, case)), warnings=("[odd] warning",))
    print_verdict(Console(width=160), result)
    assert capsys.readouterr().out.splitlines() == [
        "64x32 batch 4: timing costs +0.4%",
        "verdict: VALID",
        "warning: [odd] warning",
    ]
