import csv
from dataclasses import replace
from itertools import accumulate, pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from timed_runs import CASES, batch, max_batch_run, out_of_memory_run, performance_run, run_result

from engines.mindie.benchmark import parse_benchmark
from modeltest.api import (
    Case,
    Completion,
    Measurement,
    OnRequest,
    PrecisionSummary,
    Report,
    RunResult,
    RunSpec,
    TrialPrompts,
    Verdict,
)
from modeltest.tasks.performance import Performance
from reports.csv.benchmark import COLUMNS, SAME_PREFILL, BenchmarkCsv

MS = 1_000_000


def _rows(result: RunResult, folder: Path) -> list[dict[str, str]]:
    (path,) = BenchmarkCsv().write(result, folder)
    assert path == folder / "benchmark.csv"
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def _one_trial(*rows_ms: tuple[float, ...], prompts: TrialPrompts | None = None) -> RunResult:
    """Return a run of one case and batch whose three trials all have these times of tokens."""
    case = Case(8, len(rows_ms[0]))
    spec = RunSpec(
        *("hf_fp32", "performance", "performance", "gpt2", "W"),
        cases=(case,),
        batch_sizes=((len(rows_ms),),),
        quick=True,
    )
    rows = tuple(
        Completion(
            str(index),
            output_tokens=tuple(range(len(row))),
            token_times_ns=tuple(round(time * MS) for time in row),
        )
        for index, row in enumerate(rows_ms)
    )
    measurements = [
        Measurement(0, len(rows), trial, "measure" if trial else "warmup", rows, prompts=prompts)
        for trial in range(4)
    ]
    summary = Performance().summarize_measurements(measurements, spec)
    return run_result(spec, summary=summary, measurements=measurements)


def test_a_row_has_the_times_of_one_measured_trial(tmp_path: Path) -> None:
    BenchmarkCsv().write(performance_run(), tmp_path)
    lines = (tmp_path / "benchmark.csv").read_text(encoding="utf-8").splitlines()
    # trial 2 of 8x3 at batch 2: prefill 99 ms, steps of 10 and 9.8 ms
    assert lines[1] == (
        '2,8,3,118.800000,99.000000,9.900000,1,0.099000000,"0.010000000,0.009800000",49.500000'
    )


def test_the_columns_are_those_of_the_contract_in_their_order(tmp_path: Path) -> None:
    BenchmarkCsv().write(performance_run(), tmp_path)
    assert (tmp_path / "benchmark.csv").read_text(encoding="utf-8").splitlines()[0] == (
        "batch_size,input_seq_len,output_seq_len,e2e_time(ms),prefill_time(ms),decoder_token_time(ms),"
        "prefill_count,prefill_token_times,decode_token_times,prefill_average_time(ms)"
    )


def test_every_measured_trial_has_a_row_and_no_other(tmp_path: Path) -> None:
    rows = _rows(performance_run(), tmp_path)
    assert [row["prefill_time(ms)"] for row in rows] == [
        *("99.000000", "100.000000", "101.000000"),
        *["196.000000"] * 3,
    ]


def test_the_engine_that_reads_such_files_reads_every_row(tmp_path: Path) -> None:
    BenchmarkCsv().write(performance_run(), tmp_path)
    header, *lines = (tmp_path / "benchmark.csv").read_text(encoding="utf-8").splitlines()
    for line in lines:
        row = parse_benchmark(f"{header}\n{line}\n")
        assert row.batch_size == 2
        assert row.e2e_ms == pytest.approx(1000 * (sum(row.prefill_s) + sum(row.decode_s)))


def test_a_single_token_has_no_decode_steps(tmp_path: Path) -> None:
    for row in _rows(_one_trial((20.0,), (20.0,)), tmp_path):
        assert row["decode_token_times"] == ""
        assert row["decoder_token_time(ms)"] == "0.000000"
        assert row["e2e_time(ms)"] == row["prefill_time(ms)"] == "20.000000"


def test_a_later_prefill_is_one_of_its_own(tmp_path: Path) -> None:
    row = _rows(_one_trial((40, 120, 160), (100, 120, 160), (40, 120, 160)), tmp_path)[0]
    assert (row["prefill_count"], row["prefill_token_times"]) == ("2", "0.040000000,0.060000000")
    assert row["decode_token_times"] == "0.020000000,0.040000000"
    assert row["prefill_average_time(ms)"] == "33.333333"


def test_rows_whose_clock_is_read_one_after_another_are_one_prefill(tmp_path: Path) -> None:
    late = 40 * SAME_PREFILL / 2
    row = _rows(_one_trial((40, 60), (40 + late, 60 + late), (40 + 2 * late, 60 + 2 * late)), tmp_path)[0]
    assert row["prefill_count"] == "1"
    assert float(row["prefill_token_times"]) == pytest.approx((40 + 2 * late) / 1000)


def test_the_length_of_real_prompts_is_that_of_the_first(tmp_path: Path) -> None:
    prompts = TrialPrompts(lengths=(5, 8), available=9)
    assert _rows(_one_trial((20, 30), (20, 30), prompts=prompts), tmp_path)[0]["input_seq_len"] == "5"


@given(
    st.lists(
        st.lists(st.integers(1, 10**10), min_size=4, max_size=4).map(lambda gaps: tuple(accumulate(gaps))),
        min_size=1,
        max_size=5,
    )
)
def test_the_steps_add_up_to_the_time_of_the_last_token(rows_ns: list[tuple[int, ...]]) -> None:
    from reports.csv.benchmark import _cells

    rows = tuple(Completion(str(index), token_times_ns=row) for index, row in enumerate(rows_ns))
    cells = dict(zip(COLUMNS, _cells(Measurement(0, len(rows), 1, "measure", rows), Case(8, 4)), strict=True))
    prefills = [float(text) for text in str(cells["prefill_token_times"]).split(",")]
    decodes = [float(text) for text in str(cells["decode_token_times"]).split(",")]
    assert min((*prefills, *decodes)) >= 0
    assert len(prefills) == cells["prefill_count"] <= len(rows)
    assert sum(prefills) == pytest.approx(max(row[0] for row in rows_ns) / 1e9, abs=1e-7)
    assert sum(prefills) + sum(decodes) == pytest.approx(max(row[-1] for row in rows_ns) / 1e9, abs=1e-7)
    ends = [max(row[step] for row in rows_ns) for step in range(4)]
    assert decodes == pytest.approx([(b - a) / 1e9 for a, b in pairwise(ends)], abs=1e-8)


def test_a_trial_measured_again_after_a_restart_has_one_row_its_last(tmp_path: Path) -> None:
    run = performance_run()
    again = batch((0, CASES[0]), 2, 2, prefill_ms=98, steps_ms=(10, 10))
    rows = _rows(replace(run, measurements=[*run.measurements, again]), tmp_path)
    assert len(rows) == 6
    assert rows[0]["prefill_time(ms)"] == "98.000000"


def test_a_case_that_is_invalid_has_no_rows(tmp_path: Path) -> None:
    rows = _rows(out_of_memory_run(), tmp_path)
    assert {row["batch_size"] for row in rows} == {"2"}


def test_the_measured_trials_of_a_max_batch_search_have_rows(tmp_path: Path) -> None:
    rows = _rows(max_batch_run(), tmp_path)
    assert {row["batch_size"] for row in rows} == {"1", "2", "3"}
    assert all(row["prefill_time(ms)"] == "40.000000" for row in rows)


def test_it_is_written_on_request_only_and_says_why_it_cannot_be() -> None:
    report = BenchmarkCsv()
    assert isinstance(report, Report)
    assert isinstance(report, OnRequest)
    assert report.accepts(performance_run())
    untimed = replace(performance_run(), summary=PrecisionSummary(()))
    assert report.refusal(untimed) == "this run has no times of tokens"
    assert not report.accepts(untimed)
    nothing = replace(
        performance_run(),
        summary=Performance().summarize_measurements([], performance_run().spec),
        measurements=[],
        verdict=Verdict.INVALID,
        reasons=("8x3 batch 2: nothing was measured",),
    )
    assert report.refusal(nothing) == (
        "no trial of a case that may be used was measured; 8x3 batch 2: nothing was measured"
    )
