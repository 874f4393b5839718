"""What quickstart says at its end: every run, and why numbers may not be used."""

import subprocess
import sys
from pathlib import Path

from modeltest.cli.quickstart import _print_summary


def _run(output: Path, *words: str) -> Path:
    """Return the directory of a run of `fake`."""
    command = [sys.executable, "-m", "modeltest", "fake", *words, "--output", str(output)]
    subprocess.run(command, check=False, capture_output=True, timeout=120)
    (directory,) = output.iterdir()
    return directory


def test_a_run_that_is_not_valid_is_explained_and_the_page_is_named(tmp_path, capsys):
    valid = _run(tmp_path / "valid", "sample_BoolQ", "4", "llama", "none", "1")
    failing = ("--engine-option", "fail_every=7")
    failed = _run(tmp_path / "failed", "sample_MMLU", "5", "4", "llama", "none", "1", *failing)
    _print_summary([valid, failed])
    lines = capsys.readouterr().out.splitlines()
    (explained,) = (line for line in lines if line.startswith(("sample_BoolQ:", "sample_MMLU:")))
    assert explained.startswith("sample_MMLU: 3 of 24 questions failed")
    assert lines[-1] == "report.html is the page of a run: open it in a browser"
