"""A max-batch search on the stand-in loads the model once, or says how often and why it did again."""

import json
import os
import subprocess
import sys

import pytest


def _search(weights, tmp_path, *, highest, memory_rows=None):
    """Return the summary of the one case, the usage and the log of a search from 1 to `highest` rows."""
    limits = {} if memory_rows is None else {"STAND_IN_MEMORY_ROWS": str(memory_rows)}
    words = ["pa_fp16", "performance_maxbs", "[[16,4]]", f"[[1,{highest}]]", "100000", "auto", weights, "1"]
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "modeltest",
            *words,
            "--quick",
            "--engine-option",
            "stand_in=yes",
            "--output",
            "out",
        ],
        check=False,
        capture_output=True,
        text=True,
        timeout=240,
        env={**os.environ, **limits, "OMP_NUM_THREADS": "1"},
        cwd=tmp_path,
    )
    assert (tmp_path / "out").exists(), done.stderr
    (directory,) = (tmp_path / "out").iterdir()
    result = json.loads((directory / "run.json").read_text())
    assert result["status"] == "complete", done.stderr
    return result["summary"]["cases"][0], result["usage"], (directory / "log.txt").read_text()


@pytest.fixture
def weights(demo_model):
    return str(demo_model("llama", "float16"))


def test_a_search_that_memory_does_not_stop_loads_once(weights, tmp_path):
    case, usage, log = _search(weights, tmp_path, highest=6)
    assert case["max_batch"] == 6
    assert usage["model_loads"] == 1
    assert "load 1 of the model, for 6 rows of 16+4 tokens" in log


@pytest.mark.slow
def test_a_search_that_memory_stops_finds_what_fits_and_counts_its_loads(weights, tmp_path):
    case, usage, log = _search(weights, tmp_path, highest=8, memory_rows=5)
    assert case["max_batch"] == 5
    loads = [line for line in log.splitlines() if line.startswith("load ")]
    assert usage["model_loads"] == len(loads) <= 6
    assert "load 1 of the model, for 8 rows" in loads[0]
