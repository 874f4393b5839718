import sys
from pathlib import Path

import pytest
from lm_eval_comparison.processes import CommandFailed, run_command


def python(code: str, log: Path, **environment: str):
    return run_command([sys.executable, "-c", code], environment=environment, log=log)


def test_time_and_output_of_a_command_are_kept(tmp_path: Path) -> None:
    code = "import os, time; time.sleep(0.2); print(os.environ['WORD'])"
    finished = python(code, tmp_path / "log", WORD="x")
    assert 0.2 <= finished.wall_s < 20
    assert (tmp_path / "log").read_text() == "x\n"


def test_the_peak_includes_memory_that_was_given_back(tmp_path: Path) -> None:
    size = 300 << 20
    assert python(f"b'x' * {size}", tmp_path / "log").peak_bytes >= size


def test_the_peak_of_a_grandchild_counts(tmp_path: Path) -> None:
    size = 300 << 20
    code = f"import subprocess, sys; subprocess.run([sys.executable, '-c', \"b'x' * {size}\"])"
    assert python(code, tmp_path / "log").peak_bytes >= size


def test_a_failed_command_shows_the_end_of_its_log(tmp_path: Path) -> None:
    code = "import sys; [print('line', n) for n in range(16)]; sys.exit(3)"
    with pytest.raises(CommandFailed, match=r"status 3; the end of .*log:\nline 1\n") as raised:
        python(code, tmp_path / "log")
    assert str(raised.value).endswith("line 15")
    assert "line 0" not in str(raised.value)
