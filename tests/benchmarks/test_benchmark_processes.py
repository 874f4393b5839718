import subprocess
import sys
import time
from pathlib import Path

import pytest
from lm_eval_comparison.memory import PeakMemory, process_tree, proportional_bytes
from lm_eval_comparison.processes import CommandFailed, run_command


def python(code: str, log: Path, **environment: str):
    return run_command([sys.executable, "-c", code], environment=environment, log=log)


def test_time_and_output_of_a_command_are_kept(tmp_path: Path) -> None:
    code = "import os, time; time.sleep(0.2); print(os.environ['WORD'])"
    finished = python(code, tmp_path / "log", WORD="x")
    assert 0.2 <= finished.wall_s < 20
    assert (tmp_path / "log").read_text() == "x\n"


SIZE = 100 << 20
HOLD = f"held = b'x' * {SIZE}; "
WAIT = "import sys; sys.stdin.read()"
DEADLINE_S = 60


def peak_when(code: str, enough: int) -> int:
    """Run `code`, which ends when its input does, until its peak is `enough`, and return the peak."""
    with (
        subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE) as process,
        PeakMemory(process.pid) as memory,
    ):
        deadline = time.monotonic() + DEADLINE_S
        while memory.peak_bytes < enough and time.monotonic() < deadline:
            time.sleep(0.05)
        process.stdin.close()
        process.wait()
    return memory.peak_bytes


def test_the_peak_includes_memory_that_was_given_back() -> None:
    assert SIZE <= peak_when(HOLD + WAIT, SIZE) < 2 * SIZE


def test_the_peak_is_that_of_all_processes_together() -> None:
    code = (
        f"import subprocess, sys; child = [sys.executable, '-c', {HOLD + WAIT!r}]\n"
        "both = [subprocess.Popen(child) for _ in range(2)]; [one.wait() for one in both]"
    )
    assert 2 * SIZE <= peak_when(code, 2 * SIZE) < 3 * SIZE


def test_memory_that_processes_share_counts_once() -> None:
    code = f"import os; {HOLD}child = os.fork(); {WAIT}; child and os.waitpid(child, 0)"
    assert SIZE <= peak_when(code, SIZE) < 1.5 * SIZE


def test_a_command_is_told_with_its_peak(tmp_path: Path) -> None:
    assert python("", tmp_path / "log").peak_bytes > 0


def test_a_process_that_has_ended_takes_nothing() -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
        assert proportional_bytes(process.pid) == 0
        assert process_tree(process.pid) == [process.pid]


def test_a_failed_command_shows_the_end_of_its_log(tmp_path: Path) -> None:
    code = "import sys; [print('line', n) for n in range(16)]; sys.exit(3)"
    with pytest.raises(CommandFailed, match=r"status 3; the end of .*log:\nline 1\n") as raised:
        python(code, tmp_path / "log")
    assert str(raised.value).endswith("line 15")
    assert "line 0" not in str(raised.value)


def test_a_command_beyond_its_time_is_ended_with_all_it_has_started(tmp_path: Path) -> None:
    log = tmp_path / "log"
    child = "import time; time.sleep(600)"
    code = (
        f"import subprocess, sys; one = subprocess.Popen([sys.executable, '-c', {child!r}])\n"
        "print(one.pid, flush=True); one.wait()"
    )
    with pytest.raises(CommandFailed, match="ended after 3 s"):
        run_command([sys.executable, "-c", code], environment={}, log=log, limit_s=3)
    stat = Path("/proc") / log.read_text().split()[0] / "stat"
    # SIGKILL is sent to a group, not waited for: one of it may still be on its way out (R), and whoever
    # inherits orphans here may not have taken notice yet (Z).
    deadline = time.monotonic() + 30
    while not _gone_or_zombie(stat) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert _gone_or_zombie(stat)


def _gone_or_zombie(stat: Path) -> bool:
    try:
        return stat.read_text().rpartition(")")[2].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True
