import csv
import json
import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from timed_runs import (
    CASES,
    MODEL,
    batch,
    max_batch_run,
    out_of_memory_run,
    performance_run,
    performance_spec,
    run_result,
)

from engines.fake import FakeEngine
from modeltest.api import Case, Completion, Measurement, Report, RunResult, RunSpec
from modeltest.run.worker.measurement import run_measurements
from modeltest.tasks.performance import Performance
from reports.csv.token_latency import COLUMNS, TokenLatencyCsv
from reports.json.performance import PerformanceJson


def _write(result: RunResult, directory: Path) -> Path:
    (path,) = TokenLatencyCsv().write(result, directory)
    assert path == directory / "token_latency.csv"
    return path


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_one_row_per_token_under_stable_columns(tmp_path: Path) -> None:
    path = _write(performance_run(), tmp_path)
    lines = path.read_text(encoding="utf-8").splitlines()
    assert lines[0] == (
        "input_tokens,output_tokens,batch_size,phase,trial,request_id,token_index,step_tokens,time_ns,gap_ms"
    )
    assert lines[1] == "8,3,2,warmup,0,8x3/b2/t0/r0,0,1,900000000,"
    assert lines[2] == "8,3,2,warmup,0,8x3/b2/t0/r0,1,1,990000000,90.0"
    assert len(lines) == 1 + 5 * 2 * 3 + 5 * 2 * 2  # trials but the bare one, rows, tokens of both cases
    assert " " not in path.read_text(encoding="utf-8")


def test_every_token_is_there_once(tmp_path: Path) -> None:
    rows = _rows(_write(performance_run(), tmp_path))
    keys = {(row["request_id"], row["token_index"]) for row in rows}
    assert len(keys) == len(rows)
    assert {row["phase"] for row in rows} == {"warmup", "measure"}


def test_tokens_that_arrive_together_are_one_step(tmp_path: Path) -> None:
    row = Completion(
        "r", output_tokens=(1, 2, 3, 4), token_times_ns=(5_000_000, 7_000_000, 7_000_000, 8_000_000)
    )
    spec = replace(performance_spec(1), cases=(Case(8, 4),))
    result = run_result(spec, summary=None, measurements=[Measurement(0, 1, 1, "measure", (row,))])
    rows = _rows(_write(result, tmp_path))
    assert [each["step_tokens"] for each in rows] == ["1", "2", "2", "1"]
    assert [each["gap_ms"] for each in rows] == ["", "2.0", "0.0", "1.0"]


def test_a_row_that_failed_and_a_batch_out_of_memory_leave_no_times(tmp_path: Path) -> None:
    lost = Completion("lost", output_tokens=(1,), token_times_ns=(5,), error="lost")
    kept = Completion("kept", output_tokens=(1,), token_times_ns=(5,))
    measurements = [Measurement(0, 2, 1, "measure", (lost, kept))]
    result = run_result(performance_spec(2), summary=None, measurements=measurements)
    assert {row["request_id"] for row in _rows(_write(result, tmp_path))} == {"kept"}
    assert {row["batch_size"] for row in _rows(_write(out_of_memory_run(), tmp_path))} == {"2"}


def test_a_max_batch_run_is_written_too(tmp_path: Path) -> None:
    rows = _rows(_write(max_batch_run(), tmp_path))
    assert list(dict.fromkeys(row["batch_size"] for row in rows)) == ["1", "2", "3"]


def test_a_run_that_failed_later_keeps_its_times(tmp_path: Path) -> None:
    report = TokenLatencyCsv()
    assert isinstance(report, Report)
    assert report.accepts(replace(performance_run(), summary=None))
    assert not report.accepts(replace(performance_run(), measurements=()))


def test_measurements_are_read_one_at_a_time(tmp_path: Path) -> None:
    class Journal:
        alive = 0

        def __iter__(self) -> Iterator[Measurement]:
            for trial in range(200):
                yield batch((0, CASES[0]), 2, trial, prefill_ms=1, steps_ms=(1, 1))

    result = run_result(performance_spec(2), summary=None, measurements=Journal())
    assert len(_rows(_write(result, tmp_path))) == 200 * 2 * 3


@pytest.mark.parametrize("name", ["median", "minimum", "maximum", "mean", "sd", "low", "high"])
def test_the_summary_can_be_recomputed_from_the_file_alone(tmp_path: Path, name: str) -> None:
    result = performance_run()
    (summary,) = PerformanceJson().write(result, tmp_path)
    reported = json.loads(summary.read_text(encoding="utf-8"))["cases"]
    _assert_recomputed(_frame(_write(result, tmp_path)), reported, name)


def test_a_bare_trial_has_no_times_of_tokens_to_write(tmp_path: Path) -> None:
    result = performance_run()
    assert {each.phase for each in result.measurements} == {"warmup", "measure", "bare"}
    assert {row["phase"] for row in _rows(_write(result, tmp_path))} == {"warmup", "measure"}


_TRIALS = st.lists(
    st.tuples(st.integers(1, 10**9), st.integers(1, 10**8), st.integers(1, 10**8)), min_size=5, max_size=5
)


@settings(max_examples=50)
@given(_TRIALS)
def test_recomputation_agrees_for_any_times(
    tmp_path_factory: pytest.TempPathFactory, trials: list[tuple[int, int, int]]
) -> None:
    directory = tmp_path_factory.mktemp("recomputed")
    spec = replace(performance_spec(2), cases=CASES[:1])
    measurements = [
        batch(
            *((0, CASES[0]), 2, trial),
            prefill_ms=first / 1e6,
            steps_ms=(second / 1e6, third / 1e6),
            phase="warmup" if trial < 2 else "measure",
        )
        for trial, (first, second, third) in enumerate(trials)
    ]
    summary = Performance().summarize_measurements(measurements, spec)
    result = run_result(spec, summary=summary, measurements=measurements)
    reported = json.loads(PerformanceJson().write(result, directory)[0].read_text(encoding="utf-8"))["cases"]
    frame = _frame(_write(result, directory))
    for name in ("median", "mean", "sd"):
        _assert_recomputed(frame, reported, name)


def _frame(path: Path) -> pd.DataFrame:
    # pandas 2 reads decimals inexactly unless told otherwise, and pandas 3 warns when it is told.
    return pd.read_csv(path, converters={"gap_ms": lambda text: float(text or "nan")})


def _assert_recomputed(frame: pd.DataFrame, reported: list[dict[str, object]], statistic: str) -> None:
    """Compute from the definitions in pandas, with no help from ModelTest.

    From `time_ns`, which is exact: the mean of two `gap_ms` may round differently from that of nanoseconds.
    """
    assert tuple(frame.columns) == COLUMNS
    measured = frame[frame["phase"] == "measure"]
    for case in reported:
        shape = ["input_tokens", "output_tokens", "batch_size"]
        rows = measured[(measured[shape] == [case[name] for name in shape]).all(axis=1)]
        times = rows.groupby(["trial", "request_id"])["time_ns"]
        gaps_ns = times.diff()
        assert (gaps_ns.dropna() / 1e6 == rows["gap_ms"].dropna()).all()
        spans = pd.DataFrame({"first": times.first(), "last": times.last(), "n": times.size()})
        spans["tpot"] = (spans["last"] - spans["first"]) / (spans["n"] - 1)
        trial = spans.groupby("trial")
        e2e_s = trial["last"].max() / 1e9
        recomputed = {
            "ttft_ms": trial["first"].median() / 1e6,
            "tpot_ms": trial["tpot"].median() / 1e6,
            "itl_ms": gaps_ns.groupby(rows["trial"]).median() / 1e6,
            "e2e_s": e2e_s,
            "output_tokens_per_s": trial["n"].sum() / e2e_s,
            "decode_tokens_per_s": trial.size() * 1000 / (trial["tpot"].median() / 1e6),
            "prefill_total_ms": trial["first"].max() / 1e6,
            "prefill_average_ms": trial["first"].max() / 1e6 / trial.size(),
            "non_first_token_ms": (trial["last"].max() - trial["first"].max()) / (trial["n"].max() - 1) / 1e6,
        }
        metrics = case["metrics"]
        assert isinstance(metrics, dict)
        assert set(recomputed) == set(metrics)
        for name, values in recomputed.items():
            _assert_equal(values, metrics[name][statistic], statistic)


def _assert_equal(values: "pd.Series[float]", reported: float, statistic: str) -> None:
    if statistic in ("low", "high"):
        assert _interval_end(values, statistic) == pytest.approx(reported, rel=1e-9)
    elif statistic in ("median", "minimum", "maximum"):
        exact = {"median": values.median, "minimum": values.min, "maximum": values.max}[statistic]()
        assert exact == reported
    else:  # pandas sums in another order: the last bits may differ
        assert {"mean": values.mean, "sd": values.std}[statistic]() == pytest.approx(
            reported, rel=1e-9, abs=1e-9
        )


def _interval_end(values: "pd.Series[float]", end: str) -> float:
    """Compute the interval of three trials: Student's t with two degrees of freedom."""
    assert len(values) == 3
    half_width = 4.302653 * math.sqrt(math.pi / 2) * values.std() / math.sqrt(3)
    return float(values.median() + (half_width if end == "high" else -half_width))


def test_the_summary_of_a_noisy_run_with_all_its_phases_recomputes_exactly(tmp_path: Path) -> None:
    """As many trials as the noise needs, bare ones between, rows that differ: medians to the last bit."""
    spec = RunSpec(
        *("fake", "performance", "performance", "auto", "none"),
        cases=(Case(12, 7), Case(5, 2)),
        batch_sizes=((1, 3),),
        engine_options={"noise": "0.05"},
    )
    task, engine = Performance(), FakeEngine()
    measurements = [
        _rows_apart(each) for each in run_measurements(task, engine, engine.load(spec, MODEL), spec)
    ]
    summary = task.summarize_measurements(measurements, spec)
    assert max(case.trials for case in summary.cases) > 5
    result = run_result(spec, summary=summary, measurements=measurements)
    reported = json.loads(PerformanceJson().write(result, tmp_path)[0].read_text(encoding="utf-8"))["cases"]
    frame = _frame(_write(result, tmp_path))
    for statistic in ("median", "minimum", "maximum", "mean", "sd"):
        _assert_recomputed(frame, reported, statistic)


def _rows_apart(measurement: Measurement) -> Measurement:
    """Let each row get its tokens a little later than the one before, as with rows served one by one."""
    rows = tuple(
        replace(row, token_times_ns=tuple(time_ns + 1237 * number for time_ns in row.token_times_ns))
        for number, row in enumerate(measurement.completions)
    )
    return replace(measurement, completions=rows)
