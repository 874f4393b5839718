"""Whole runs on the stand-in for MindIE: words in, files out."""

import json
import subprocess
import sys
from pathlib import Path

import pytest


def _run(*words: str, output: Path, **variables: str) -> tuple[subprocess.CompletedProcess[str], Path | None]:
    import os

    command = [sys.executable, "-m", "modeltest", *words, "--output", str(output)]
    environment = {**os.environ, **variables}
    done = subprocess.run(
        command, check=False, capture_output=True, text=True, timeout=120, env=environment, cwd=output.parent
    )
    directories = list(output.iterdir()) if output.exists() else []
    return done, directories[0] if directories else None


@pytest.fixture
def weights(demo_model):
    return str(demo_model("llama", "float16"))


def test_a_timed_run_on_the_stand_in_has_a_time_for_every_token_and_says_what_it_ran_on(weights, tmp_path):
    words = ["pa_fp16", "performance", "[[16,4],[24,3]]", "2", "auto", weights, "1", "--quick"]
    done, directory = _run(*words, "--engine-option", "stand_in=yes", output=tmp_path / "out")
    assert directory is not None, done.stderr
    assert "pa_fp16: engine mindie_pa" in done.stderr
    assert "on cpu (stand-in for MindIE) in float16" in done.stderr
    result = json.loads((directory / "run.json").read_text())
    assert (result["status"], result["adapter"]) == ("complete", "mindie_pa")
    assert "nothing here ran on Ascend" in result["engine"]["notes"][0]
    for case, tokens in zip(result["summary"]["cases"], (4, 3), strict=True):
        assert case["trials"] > 0
        assert case["metrics"]["ttft_ms"]["median"] > 0, tokens
        assert not any("tokens asked for" in reason for reason in case["reasons"])
    assert not list(directory.glob(".engine"))


@pytest.mark.slow
def test_questions_are_asked_of_two_ranks(weights, tmp_path):
    words = ["pa_fp16", "sample_BoolQ", "4", "auto", weights, "2", "--limit", "4"]
    done, directory = _run(*words, "--engine-option", "stand_in=yes", output=tmp_path / "out")
    assert directory is not None, done.stderr
    result = json.loads((directory / "run.json").read_text())
    assert (result["status"], result["verdict"]) == ("complete", "VALID")
    assert (result["engine"]["ranks"]["world_size"], result["engine"]["ranks"]["split"]) == (2, 2)


def test_a_task_that_needs_times_is_refused_on_fa_before_anything_is_loaded(weights, tmp_path):
    words = ["fa", "performance", "[[16,4]]", "1", "auto", weights, "1", "--engine-option", "stand_in=yes"]
    done, directory = _run(*words, output=tmp_path / "out")
    assert done.returncode == 3
    assert "engine 'mindie_fa' cannot run performance: it lacks" in done.stderr
    assert directory is None


def test_use_ascend_0_gives_the_words_to_the_plain_engines(weights, tmp_path):
    home = Path(__file__).parent / "stand_in"
    words = ["pa_fp16", "sample_BoolQ", "8", "auto", weights, "1", "--limit", "2"]
    done, directory = _run(*words, output=tmp_path / "out", ATB_SPEED_HOME_PATH=str(home), USE_ASCEND="0")
    assert directory is not None, done.stderr
    assert "not with mindie_pa: USE_ASCEND is 0" in done.stderr
    assert json.loads((directory / "run.json").read_text())["passed_over"]["mindie_pa"] == "USE_ASCEND is 0"


@pytest.mark.slow
def test_the_users_variables_for_times_and_traces_are_honoured_outside_of_the_library(weights, tmp_path):
    words = ["pa_fp16", "performance", "[[16,4]]", "2", "auto", weights, "1", "--quick"]
    asked = {
        "ATB_LLM_BENCHMARK_ENABLE": "1",
        "ATB_LLM_BENCHMARK_FILEPATH": str(tmp_path / "asked" / "benchmark.csv"),
        "ATB_PROFILING_ENABLE": "1",
        "PROFILING_FILEPATH": str(tmp_path / "asked" / "traces"),
    }
    done, directory = _run(*words, "--engine-option", "stand_in=yes", output=tmp_path / "out", **asked)
    assert directory is not None, done.stderr
    result = json.loads((directory / "run.json").read_text())
    assert (result["status"], result["adapter"]) == ("complete", "mindie_pa")
    lines = (tmp_path / "asked" / "benchmark.csv").read_text().splitlines()
    assert len(lines) == 1 + result["summary"]["cases"][0]["trials"]
    assert all(line.startswith("2,16,4,") for line in lines[1:])
    (trace,) = (tmp_path / "asked" / "traces").iterdir()
    assert "aten::" in trace.read_text()
    assert trace.name == f"{directory.name}_16x4_batch2.json"
