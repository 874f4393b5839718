"""Real runs in processes of their own, for tests of what stops them and how they go on."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

COMMAND = [sys.executable, "-m", "modeltest"]
BOOLQ = ["fake", "sample_BoolQ", "4", "llama", "none", "1"]
PERFORMANCE = ["fake", "performance", "[[16,4]]", "[1,2]", "llama", "none", "1"]


def option(text: str) -> list[str]:
    return ["--engine-option", text]


def run(*words: str, output: Path, expect: int = 0, **kwargs) -> subprocess.CompletedProcess:
    return run_command(*words, "--output", str(output), expect=expect, **kwargs)


def run_command(*words: str, expect: int = 0, timeout: float = 120, **kwargs) -> subprocess.CompletedProcess:
    done = subprocess.run(
        [*COMMAND, *words], check=False, capture_output=True, text=True, timeout=timeout, **kwargs
    )
    assert done.returncode == expect, done.stderr
    return done


def resume(directory: Path, *words: str, expect: int = 0) -> subprocess.CompletedProcess:
    return run_command(*words, "--resume", str(directory), expect=expect)


def start(words: Sequence[str], output: Path, **kwargs) -> subprocess.Popen:
    return subprocess.Popen(
        [*COMMAND, *words, "--output", str(output)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        **kwargs,
    )


def start_slowly(words: Sequence[str], output: Path, *, step_ms: int = 300, **kwargs) -> subprocess.Popen:
    """Start a run whose batches take a while, and return once its worker runs."""
    slow = [*option("sleep=yes"), *option(f"step_ms={step_ms}")]
    process = start([*words, *slow], output, **kwargs)
    for line in process.stderr:
        if line.startswith("running"):
            break
    return process


def await_journal(output: Path, entries: int) -> None:
    """Wait until the one run in `output` has that many lines in its journal."""
    deadline = time.monotonic() + 60
    while True:
        assert time.monotonic() < deadline
        paths = list(output.glob("*/samples.jsonl"))
        if paths and paths[0].read_bytes().count(b"\n") >= entries:
            return
        time.sleep(0.02)


def end(process: subprocess.Popen, number: int) -> int:
    process.send_signal(number)
    status = process.wait(timeout=60)
    process.stderr.close()
    return status


def run_directory(output: Path) -> Path:
    (directory,) = output.iterdir()
    return directory


def read(directory: Path, name: str = "run.json") -> dict:
    return json.loads((directory / name).read_text())


def journal(directory: Path) -> list[dict]:
    """Return the whole lines of the journal: a killed worker may leave a torn one behind them."""
    lines = (directory / "samples.jsonl").read_text().splitlines(keepends=True)
    return [json.loads(line) for line in lines if line.endswith("\n")]


def children(pid: int) -> list[int]:
    try:
        text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return []
    return [int(child) for child in text.split()]


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
        # A zombie that nobody waits for is dead.
        return "State:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except (ProcessLookupError, FileNotFoundError):
        return False


def await_end(pids: Sequence[int]) -> None:
    deadline = time.monotonic() + 30
    while any(is_alive(pid) for pid in pids):
        assert time.monotonic() < deadline
        time.sleep(0.05)
