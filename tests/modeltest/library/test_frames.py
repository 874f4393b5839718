"""The frames are held against the files of a run, read here by plain json and csv."""

import csv
import json
import statistics
from collections import defaultdict
from dataclasses import replace
from importlib import util
from pathlib import Path

import pandas
import pytest
from made_answers import sample
from made_runs import accuracy_result, performance_result

from modeltest.api import Completion, Measurement, MissingExtra, Sample, Score
from modeltest.library.frames import (
    SAMPLES,
    TOKEN_LATENCY,
    TRIALS,
    samples_frame,
    token_latency_frame,
    trials_frame,
)
from modeltest.library.runs import load_run


def journal(run: Path, kind: str) -> list[dict]:
    lines = (run / "samples.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line)[kind] for line in lines]


def test_a_question_is_a_row_with_what_the_journal_says_of_it(accuracy_run):
    frame = load_run(accuracy_run).samples
    said = journal(accuracy_run, "sample")
    assert len(said) == len(frame) == 7
    assert frame["index"].tolist() == list(range(7))
    of_score = {
        "request_id": "request_id",
        "subject": "subject",
        "gold": "expected",
        "answer": "predicted",
        "correct": "correct",
        "margin": "margin",
    }
    for column, key in of_score.items():
        assert frame[column].tolist() == [line["score"][key] for line in said]
    assert [list(row) for row in frame["logprobs"]] == [
        line["completion"]["choice_logprobs"] for line in said
    ]
    assert frame["prompt_tokens"].tolist() == [len(line["completion"]["prompt_tokens"]) for line in said]
    assert frame["prompt_sha256"].tolist() == [line["prompt_sha256"] for line in said]


def test_the_mean_of_correct_is_the_accuracy_of_the_run(accuracy_run):
    accuracy = json.loads((accuracy_run / "accuracy.json").read_text(encoding="utf-8"))["accuracy"]
    assert load_run(accuracy_run).samples["correct"].mean() == pytest.approx(accuracy, abs=1e-12)


def test_a_failed_question_is_neither_right_nor_wrong():
    failed = Sample(Score("s/1", "s", "c", "yes", error="lost"), Completion("s/1", error="lost"), "0" * 64)
    frame = samples_frame([sample("s/0", "yes"), failed])
    assert frame["correct"].isna().tolist() == [False, True]
    assert frame["answer"].isna().tolist() == [False, True]
    assert frame["error"][1] == "lost"
    assert frame["logprobs"][1] == ()


def test_a_token_is_a_row_as_in_the_file_of_token_times(timed_run):
    frame = load_run(timed_run).token_latency
    written = pandas.read_csv(timed_run / "token_latency.csv")
    assert len(frame) > 0
    assert list(frame.columns) == list(written.columns)
    for column in frame.columns:
        expected = written[column].tolist()
        assert frame[column].tolist() == pytest.approx(expected, nan_ok=True) or frame[column].equals(
            expected
        )


def test_a_trial_is_a_row_with_the_metrics_of_its_tokens(timed_run):
    frame = load_run(timed_run).trials
    times: dict[tuple[str, ...], dict[str, list[int]]] = defaultdict(lambda: defaultdict(list))
    with (timed_run / "token_latency.csv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            key = row["batch_size"], row["phase"], row["trial"]
            times[key][row["request_id"]].append(int(row["time_ns"]))
    timed = frame[frame["ttft_ms"].notna()]
    assert len(timed) == len(times) > 0
    for row in timed.itertuples():
        of_requests = times[str(row.batch_size), row.phase, str(row.trial)].values()
        assert row.requests == len(of_requests) == row.batch_size
        assert row.ttft_ms == pytest.approx(statistics.median(each[0] for each in of_requests) / 1e6)
        assert row.e2e_s == pytest.approx(max(each[-1] for each in of_requests) / 1e9)
        per_token = [(each[-1] - each[0]) / (len(each) - 1) for each in of_requests]
        assert row.tpot_ms == pytest.approx(statistics.median(per_token) / 1e6)


def test_the_median_over_measured_trials_is_the_number_of_the_report(timed_run):
    cases = json.loads((timed_run / "performance.json").read_text(encoding="utf-8"))["cases"]
    frame = load_run(timed_run).trials
    measured = frame[frame["phase"] == "measure"]
    assert len(cases) == 2
    for case in cases:
        own = measured[measured["batch_size"] == case["batch_size"]]
        for metric in ("ttft_ms", "tpot_ms", "e2e_s", "output_tokens_per_s"):
            assert own[metric].median() == pytest.approx(case["metrics"][metric]["median"], rel=1e-12)


def test_a_failed_batch_has_its_error_and_no_metric():
    failed = Measurement(
        0, 1, 0, "measure", (Completion("r", error="full"),), out_of_memory=True, error="full"
    )
    result = replace(performance_result(), measurements=(failed,))
    frame = trials_frame(result)
    (row,) = frame.itertuples()
    assert (row.failed, row.out_of_memory, row.error) == (1, True, "full")
    assert frame["ttft_ms"].isna().all()
    assert frame["peak_memory_bytes"].isna().all()
    assert token_latency_frame(result).empty


@pytest.mark.parametrize("is_empty", [True, False])
def test_dtypes_are_the_same_with_rows_and_without(is_empty):
    answers = [] if is_empty else [sample("s/0", "yes")]
    timed = accuracy_result() if is_empty else performance_result()
    frames = (
        (samples_frame(answers), SAMPLES),
        (token_latency_frame(timed), TOKEN_LATENCY),
        (trials_frame(timed), TRIALS),
    )
    for frame, dtypes in frames:
        assert frame.empty is is_empty
        assert {name: frame[name].dtype for name in frame} == {
            name: pandas.Series(dtype=dtype).dtype for name, dtype in dtypes.items()
        }


def test_without_pandas_the_extra_is_named(accuracy_run, monkeypatch):
    present = util.find_spec
    monkeypatch.setattr(
        "modeltest.library.frames.find_spec", lambda name: None if name == "pandas" else present(name)
    )
    run = load_run(accuracy_run)
    for attribute in ("samples", "token_latency", "trials"):
        with pytest.raises(MissingExtra, match=r"pandas, which is not installed; .*\[frames\]"):
            getattr(run, attribute)
    assert run.verdict is not None
