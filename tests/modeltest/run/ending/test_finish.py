import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from made_answers import sample
from made_runs import ENGINE, MODEL, accuracy_result

from modeltest.api import (
    AccuracySummary,
    BandwidthPeak,
    Case,
    CaseSummary,
    Completion,
    DevicePeaks,
    EngineInfo,
    FrequentFailure,
    Interruption,
    MaxBatchCase,
    MaxBatchSummary,
    Measurement,
    ModelInfo,
    ModelWork,
    PerformanceSummary,
    PrecisionOutput,
    PrecisionSummary,
    ProcessorUse,
    Proportion,
    RunResult,
    RunSpec,
    SearchStatus,
    Summary,
    Verdict,
)
from modeltest.findings import sentences
from modeltest.installation import install_command
from modeltest.run.ending.finish import finish, judge, summarize

CASE = CaseSummary(Case(64, 32), 4, 5, 1, {}, None, Verdict.VALID, ())
NOISY = replace(CASE, batch_size=8, verdict=Verdict.NOISY, reasons=("CV 9%",))
BROKEN = replace(CASE, batch_size=16, verdict=Verdict.INVALID, reasons=("out of memory",))


def accuracy(total: int, failed: int) -> AccuracySummary:
    micro = Proportion(0, total, None, None, None, None)
    return AccuracySummary(micro, None, {}, {}, {}, failed, 0, 0, 0, 0, (), 1e-4, "")


def test_b4_the_most_frequent_reason_of_failure_is_among_the_reasons():
    failed = replace(accuracy(14, 5), frequent_failure=FrequentFailure("choice ' C' merges", 4))
    assert judged_in_words(failed) == (
        Verdict.INVALID,
        ("5 of 14 questions failed, 4 of them so: choice ' C' merges",),
    )


def judged_in_words(summary: Summary, **expected: int) -> tuple[Verdict, tuple[str, ...]]:
    verdict, reasons = judge(summary, **expected)
    return verdict, sentences(reasons)


def search(verdict: Verdict, *reasons: str) -> MaxBatchCase:
    return MaxBatchCase(
        case=Case(64, 32),
        lowest=1,
        highest=64,
        limit_ms=20.0,
        status=SearchStatus.FOUND,
        reason="batch 9 exceeds the limit",
        max_batch=8,
        latency_ms=19.0,
        high_ms=19.5,
        bound=9,
        verdict=verdict,
        reasons=reasons,
        probes=(),
        measured=(BROKEN,),
    )


@pytest.mark.parametrize(
    ("dtype", "margin", "near"),
    [
        ("float32", 0.001, ("s/0",)),
        ("float16", 0.05, ("s/0", "s/1")),
        ("bfloat16", 0.3, ("s/0", "s/1", "s/2")),
    ],
)
def test_what_is_near_a_tie_follows_the_dtype_that_the_engine_reports(tmp_path, dtype, margin, near):
    margins = (0.0005, 0.02, 0.2, 1.0)
    samples = [sample(f"s/{row}", "yes", logprobs=(0.0, -each)) for row, each in enumerate(margins)]
    summary = summarize(accuracy_result(samples, engine=replace(ENGINE, dtype=dtype)), tmp_path)
    assert (summary.near_tie_margin, summary.near_ties) == (margin, near)


def test_any_question_that_quantised_weights_may_decide_is_near_a_tie(tmp_path):
    samples = [sample("s/0", "yes", logprobs=(0.0, -0.4)), sample("s/1", "yes", logprobs=(0.0, -1.2))]
    run = accuracy_result(samples, model=replace(MODEL, quantize="w8a8"))
    assert summarize(run, tmp_path).near_ties == ("s/0",)


@pytest.mark.parametrize(
    ("total", "failed", "verdict", "reasons"),
    [
        (10, 0, Verdict.VALID, ()),
        (10, 1, Verdict.INVALID, ("1 of 10 questions failed",)),
        (0, 0, Verdict.INVALID, ("no question was asked",)),
    ],
)
def test_one_failed_question_spoils_an_accuracy_run(total, failed, verdict, reasons):
    assert judged_in_words(accuracy(total, failed)) == (verdict, reasons)


def test_questions_that_were_never_asked_spoil_an_accuracy_run():
    verdict, reasons = judged_in_words(accuracy(6, 0), expected_questions=10)
    assert verdict is Verdict.INVALID
    assert reasons == ("6 of 10 questions were asked: the run was cut short",)
    assert judged_in_words(accuracy(10, 0), expected_questions=10) == (Verdict.VALID, ())


def test_a_performance_run_is_as_good_as_its_worst_case():
    assert judged_in_words(PerformanceSummary((CASE,))) == (Verdict.VALID, ())
    assert judged_in_words(PerformanceSummary((CASE, NOISY))) == (Verdict.NOISY, ("64x32 batch 8: CV 9%",))
    verdict, reasons = judged_in_words(PerformanceSummary((BROKEN, NOISY)))
    assert verdict is Verdict.INVALID
    assert reasons == ("64x32 batch 16: out of memory", "64x32 batch 8: CV 9%")


def test_a_performance_run_without_cases_is_invalid():
    assert judged_in_words(PerformanceSummary(()))[0] is Verdict.INVALID


def test_searches_are_as_good_as_the_worst_of_them():
    sound, open_end = search(Verdict.VALID), search(Verdict.NOISY, "the search ended BORDERLINE")
    assert judged_in_words(MaxBatchSummary((sound,))) == (Verdict.VALID, ())
    verdict, reasons = judged_in_words(MaxBatchSummary((sound, open_end)))
    assert verdict is Verdict.NOISY
    assert reasons == ("64x32: the search ended BORDERLINE",)
    assert judged_in_words(MaxBatchSummary((sound, open_end, search(Verdict.INVALID))))[0] is Verdict.INVALID


def test_a_run_without_searches_is_invalid():
    assert judged_in_words(MaxBatchSummary(()))[0] is Verdict.INVALID


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
    assert judged_in_words(PrecisionSummary(outputs))[0] is verdict


def test_reasons_of_outputs_name_their_case_and_batch() -> None:
    assert judged_in_words(PrecisionSummary((replace(OUTPUT, reasons=("rows differ",)),)))[1] == (
        "8x3 batch 2: rows differ",
    )


def test_a_timed_run_is_warned_of_its_machine_and_told_the_notes_of_its_cases(tmp_path: Path) -> None:
    finished = finish(_timed_run(load_1min=7.5), tmp_path)
    assert finished.warnings == (
        "the load was 7.5 on 2 processors before the run: end other work, "
        "or wait a minute after a run before",
        "4x3 batch 1: one warm-up trial: nothing says whether it was enough",
    )
    written = json.loads((tmp_path / "performance.json").read_text(encoding="utf-8"))
    assert written["warnings"] == list(finished.warnings)
    assert written["conditions"]["load_1min"] == 7.5
    assert written["conditions"]["processors"] == {"threads": 2, "cpus": 2, "settings": {}}


def test_times_are_held_against_the_peaks_of_the_engine_that_gave_them(tmp_path: Path) -> None:
    run = _timed_run(load_1min=0.0)
    assert run.engine is not None
    work = ModelWork(10, 10_000_000, 0, None, 10)
    slow = DevicePeaks((BandwidthPeak(1000, 1e9),), 1e12)
    engine = replace(run.engine, work=work, peaks=slow)
    finished = finish(replace(run, engine=engine), tmp_path)
    assert finished.verdict is Verdict.INVALID
    assert any("decoding reads 10 GB/s at least by these times" in reason for reason in finished.reasons)


def _timed_run(*, load_1min: float) -> RunResult:
    """One warm-up and three trials that took 10 ms and then 1 ms a token."""
    times = tuple(10_000_000 + 1_000_000 * step for step in range(3))
    rows = (Completion("r", output_tokens=(1, 2, 3), token_times_ns=times),)
    phases = ("warmup", "measure", "measure", "measure")
    return RunResult(
        spec=RunSpec(
            *("hf", "performance", "performance", "auto", "W"),
            cases=(Case(4, 3),),
            batch_sizes=((1,),),
            quick=True,
        ),
        started="2026-01-01T00:00:00+00:00",
        status="complete",
        model=ModelInfo("auto", "auto", "W", "llama", "float32", None, None, 128, 1, None),
        adapter="hf",
        engine=EngineInfo("hf", "cpu", "float32", 9, (), None, {}, processors=ProcessorUse(2, 2)),
        dataset=None,
        machine={"load_1min": load_1min, "cpus": 2},
        measurements=[Measurement(0, 1, trial, phase, rows) for trial, phase in enumerate(phases)],
    )


def test_the_reports_of_an_unfinished_run_lie_apart_and_say_so(tmp_path):
    unfinished = replace(_timed_run(load_1min=0.0), status="partial", error="interrupted after 4 trials")
    finished = finish(unfinished, tmp_path)
    assert finished.verdict is Verdict.INVALID
    assert finished.reasons[0] == "the run is partial: interrupted after 4 trials"
    assert {path.name for path in tmp_path.iterdir()} == {"run.json", "partial"}
    written = json.loads((tmp_path / "partial" / "performance.json").read_text(encoding="utf-8"))
    assert (written["run"]["status"], written["verdict"]) == ("partial", "INVALID")
    finish(replace(unfinished, status="complete", error=None), tmp_path)
    assert not (tmp_path / "partial").exists()
    assert (tmp_path / "performance.json").exists()


def test_what_was_given_up_is_a_reason(tmp_path):
    lost = Interruption("t", "the worker was killed", 3, suspects=("0/1/4",), given_up=True)
    passed = Interruption("t", "interrupted", 2)
    result = replace(_timed_run(load_1min=0.0), interruptions=(passed, lost))
    assert "given up, trial 0/1/4: the worker was killed" in finish(result, tmp_path).reasons


@pytest.mark.parametrize("package", ["jinja2", "matplotlib"])
def test_what_lacks_a_package_is_left_out_with_a_line_and_the_rest_is_written(tmp_path, monkeypatch, package):
    monkeypatch.setitem(sys.modules, package, None)
    said: list[str] = []
    finished = finish(_timed_run(load_1min=0.0), tmp_path, tell=said.append)
    assert finished.verdict is Verdict.VALID
    assert said == [
        f"report.html and plots/ left out: {package} is not installed; "
        f"`{install_command('report')}` brings it"
    ]
    assert not (tmp_path / "report.html").exists()
    assert (tmp_path / "performance.json").exists()
    assert (tmp_path / "token_latency.csv").exists()
