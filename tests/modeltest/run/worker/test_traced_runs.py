"""Whole runs on a tiny model with the variables of MindIE that ask for a table of times and for traces."""

import csv
import json

import pytest
from run_processes import journal, read, run, run_directory

pytest.importorskip("transformers")


@pytest.fixture
def asked(tmp_path, monkeypatch):
    """Ask for both and return the folder they go to."""
    folder = tmp_path / "asked"
    monkeypatch.setenv("ATB_LLM_BENCHMARK_ENABLE", "1")
    monkeypatch.setenv("ATB_LLM_BENCHMARK_FILEPATH", str(folder / "benchmark.csv"))
    monkeypatch.setenv("ATB_PROFILING_ENABLE", "1")
    monkeypatch.setenv("PROFILING_FILEPATH", str(folder / "traces"))
    return folder


@pytest.mark.slow
@pytest.mark.parametrize(("word", "adapter"), [("hf_fp32", "hf"), ("pa_fp16", "hf_paged")])
def test_a_run_leaves_times_of_what_it_measured_and_a_trace_of_what_it_did_not(
    demo_model, tmp_path, asked, word, adapter
):
    weights = demo_model("llama", "float16" if word == "pa_fp16" else "float32")
    words = [word, "performance", "[[16,4]]", "[1,2]", "auto", str(weights), "1", "--quick"]
    done = run(*words, output=tmp_path / "out")
    directory = run_directory(tmp_path / "out")
    assert read(directory)["adapter"] == adapter
    measured = [line["measurement"] for line in journal(directory)]
    measured = [each for each in measured if each["phase"] == "measure"]
    with (asked / "benchmark.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [int(row["batch_size"]) for row in rows] == [each["batch_size"] for each in measured]
    for row, each in zip(rows, measured, strict=True):
        last_ms = max(one["token_times_ns"][-1] for one in each["completions"]) / 1e6
        assert float(row["e2e_time(ms)"]) == pytest.approx(last_ms, abs=1e-6)
        assert (row["prefill_count"], row["decode_token_times"].count(",")) == ("1", 2)
    (trace,) = (asked / "traces").iterdir()
    assert trace.name == f"{directory.name}_16x4_batch2.json"
    assert f"trace of 16x4 batch 2: {trace}" in done.stderr
    names = {event.get("name") for event in json.loads(trace.read_text())["traceEvents"]}
    assert {"aten::linear", "aten::embedding"} <= names
