"""What the surfaces are made of: a tiny checkpoint, runs of several kinds, and a suite."""

import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

RUNS = {
    "accuracy": ["run", "fake", "sample_BoolQ", "4", "llama", "none", "1", "--limit", "5"],
    "performance": ["run", "fake", "performance", "[[8,4]]", "[1,2]", "llama", "none", "1", "--quick"],
    "generate": [
        *("generate", "--engine", "fake", "--model", "none", "--input-text", "hi", "--input-text", "there"),
        *("--max-output-length", "3", "--max-batch-size", "2"),
    ],
}


@dataclass(frozen=True)
class Places:
    """Where things lie: a folder to write into, a checkpoint, and the directory of a run of each kind."""

    scratch: Path
    model: Path
    runs: dict[str, Path]


def made_places(folder: Path) -> Places:
    """Return the places below `folder`; what is there already is kept, but for the scratch folder."""
    from modeltest.demo.build import build_demo_model

    folder = folder.absolute()
    scratch, model = folder / "scratch", folder / "model"
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    if not model.exists():
        build_demo_model("llama", model)
    return Places(scratch, model, {name: _run(folder / "runs" / name, words) for name, words in RUNS.items()})


def _run(output: Path, words: list[str]) -> Path:
    if not output.exists():
        command = [sys.executable, "-m", "modeltest", *words, "--output", str(output)]
        done = subprocess.run(command, check=False, capture_output=True, text=True)
        assert done.returncode in (0, 1), done.stderr  # times of a busy machine may be no measurement
    return next(output.iterdir())
