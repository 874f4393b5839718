import csv
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from timed_runs import max_batch_run, out_of_memory_run, performance_run

from modeltest.api import MaxBatchSummary, Probe, ProbeDecision, Report, RunResult
from reports.legacy.maxbs_csv import LegacyMaxBatchCsv
from reports.legacy.performance_csv import LegacyPerformanceCsv

_HEADER = (
    "Model,Batchsize,In_seq,Out_seq,Total time(s),Prefill all time(ms),Prefill average time(ms),"
    "Non-first token time(ms),Non-first token Throughput(Tokens/s),Throughput(Tokens/s),"
    "Non-first token Throughput Average(Tokens/s),E2E Throughput Average(Tokens/s)"
)


def _lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").splitlines()


def test_a_performance_file_has_the_twelve_columns_and_one_row_per_case(tmp_path: Path) -> None:
    paths = LegacyPerformanceCsv().write(performance_run(), tmp_path)
    assert [path.name for path in paths] == [
        "performance_fa_batch2_tp1_result.csv",
        "performance_fa_batch2_tp1_formatted_result.csv",
    ]
    # 8x3: 6 tokens in 0.12 s, 2 rows per 10 ms; 16x2: 4 tokens in 0.2 s, 2 rows per 4 ms
    assert _lines(paths[0]) == [
        _HEADER,
        "gpt2,2,8,3,0.12,100.0,50.0,10.0,200.0,50.0,,",
        "gpt2,2,16,2,0.2,196.0,98.0,4.0,500.0,20.0,350.0,35.0",
    ]


def test_units_are_the_ones_the_columns_name(tmp_path: Path) -> None:
    (path, _) = LegacyPerformanceCsv().write(performance_run(), tmp_path)
    frame = pd.read_csv(path)
    seconds, tokens = frame["Total time(s)"], frame["Batchsize"] * frame["Out_seq"]
    assert list(frame["Throughput(Tokens/s)"]) == pytest.approx(list(tokens / seconds))
    parts_ms = frame["Prefill all time(ms)"] + frame["Non-first token time(ms)"] * (frame["Out_seq"] - 1)
    assert list(parts_ms / 1000) == pytest.approx(list(seconds))
    decode = frame["Batchsize"] / (frame["Non-first token time(ms)"] / 1000)
    assert list(frame["Non-first token Throughput(Tokens/s)"]) == pytest.approx(list(decode))


def test_averages_stand_on_the_last_row_only_and_average_their_own_column(tmp_path: Path) -> None:
    (path, _) = LegacyPerformanceCsv().write(performance_run(), tmp_path)
    frame = pd.read_csv(path)
    for average, source in (
        ("Non-first token Throughput Average(Tokens/s)", "Non-first token Throughput(Tokens/s)"),
        ("E2E Throughput Average(Tokens/s)", "Throughput(Tokens/s)"),
    ):
        assert frame[average].isna().tolist() == [True, False]
        assert frame[average].iloc[-1] == pytest.approx(frame[source].mean())


def test_the_padded_copy_is_the_same_table_with_one_other_name(tmp_path: Path) -> None:
    plain, padded = LegacyPerformanceCsv().write(performance_run(), tmp_path)
    rows = [line.split("|") for line in _lines(padded)]
    assert {tuple(map(len, row)) for row in rows} == {(15, 15, 15, 15, 15, 25, 25, 25, 36, 25, 45, 35)}
    assert rows[0][9].strip() == "E2E Throughput(Tokens/s)"
    stripped = [[cell.strip() for cell in row] for row in rows]
    with plain.open(encoding="utf-8", newline="") as file:
        assert stripped[1:] == list(csv.reader(file))[1:]


@pytest.mark.parametrize(
    ("engine", "world_size", "name"),
    [
        ("pa_fp16", 8, "performance_pa_batch2_tp8_result.csv"),
        ("pa_bf16", 20, "performance_pa_batch2_tp20_result.csv"),
        ("fa", 1, "performance_fa_batch2_tp1_result.csv"),
        ("hf_fp32", 0, "performance_fa_batch2_tp4_result.csv"),
    ],
)
def test_the_name_has_engine_family_batch_and_devices(
    tmp_path: Path, engine: str, world_size: int, name: str
) -> None:
    result = performance_run(engine=engine, world_size=world_size)
    result = replace(result, model=replace(result.model, chips=4))
    assert LegacyPerformanceCsv().write(result, tmp_path)[0].name == name


def test_an_invalid_row_keeps_its_cells_empty_and_out_of_the_averages(tmp_path: Path) -> None:
    paths = LegacyPerformanceCsv().write(out_of_memory_run(), tmp_path)
    assert [path.name for path in paths[::2]] == [
        "performance_fa_batch2_tp1_result.csv",
        "performance_fa_batch4_tp1_result.csv",
    ]
    assert _lines(paths[2])[1:] == ["gpt2,4,8,3,,,,,,,,", "gpt2,4,16,2,,,,,,,,"]
    assert _lines(paths[0])[-1].endswith(",350.0,35.0")


def test_a_max_batch_run_has_every_probe_and_the_answer(tmp_path: Path) -> None:
    rounds, final = LegacyMaxBatchCsv().write(max_batch_run(), tmp_path)
    assert rounds.name == "performance_maxbs_pa_8_3_tp8_round_result.csv"
    assert final.name == "performance_maxbs_pa_tp8_final_result.csv"
    # batch 1: 3 tokens in 50 ms; 2: 6 in 56 ms; 3: 9 in 64 ms
    assert _lines(rounds) == [
        _HEADER,
        "gpt2,1,8,3,0.05,40.0,40.0,5.0,200.0,60.0,,",
        "gpt2,4,8,3,,,,,,,,",
        "gpt2,2,8,3,0.056,40.0,20.0,8.0,250.0,107.142857,,",
        "gpt2,3,8,3,0.064,40.0,13.333333,12.0,250.0,140.625,233.333333,102.589286",
    ]
    assert _lines(final) == [_HEADER, "gpt2,2,8,3,0.056,40.0,20.0,8.0,250.0,107.142857,250.0,107.142857"]


def test_columns_of_the_max_batch_files_are_not_shifted(tmp_path: Path) -> None:
    # In the predecessor a column was added to the header alone.
    for path in LegacyMaxBatchCsv().write(max_batch_run(), tmp_path):
        assert {len(row) for row in csv.reader(_lines(path))} == {12}


def test_a_case_without_an_answer_has_no_batch_size(tmp_path: Path) -> None:
    _, final = LegacyMaxBatchCsv().write(max_batch_run(feasible=False), tmp_path)
    assert _lines(final)[1:] == ["gpt2,,8,3,,,,,,,,"]


def test_a_case_never_measured_still_has_its_files(tmp_path: Path) -> None:
    result = max_batch_run()
    assert isinstance(result.summary, MaxBatchSummary)
    unmeasured = replace(result.summary.cases[0], max_batch=None, probes=(), measured=())
    rounds, final = LegacyMaxBatchCsv().write(
        replace(result, summary=MaxBatchSummary((unmeasured,))), tmp_path
    )
    assert _lines(rounds) == [_HEADER]
    assert _lines(final)[1:] == ["gpt2,,8,3,,,,,,,,"]


@pytest.mark.parametrize(
    ("report", "mine", "other"),
    [
        (LegacyPerformanceCsv(), performance_run(), max_batch_run()),
        (LegacyMaxBatchCsv(), max_batch_run(), performance_run()),
    ],
    ids=["performance", "maxbs"],
)
def test_each_takes_its_own_runs_only(
    tmp_path: Path, report: Report, mine: RunResult, other: RunResult
) -> None:
    assert isinstance(report, Report)
    assert report.accepts(mine)
    assert not report.accepts(other)
    assert report.write(other, tmp_path) == ()
    assert list(tmp_path.iterdir()) == []


def test_a_probe_decided_without_a_measured_trial_has_a_row_without_numbers(tmp_path: Path) -> None:
    result = max_batch_run()
    assert isinstance(result.summary, MaxBatchSummary)
    (search,) = result.summary.cases
    screened = replace(search, probes=(Probe(6, ProbeDecision.FAIL, screens_ms=(12.0, 12.1)), *search.probes))
    rounds, _ = LegacyMaxBatchCsv().write(replace(result, summary=MaxBatchSummary((screened,))), tmp_path)
    assert _lines(rounds)[1] == "gpt2,6,8,3,,,,,,,,"
    assert len(_lines(rounds)) == 6
