"""What the surfaces are made of: a tiny checkpoint and a run."""

import shutil
import subprocess
import sys
from pathlib import Path


def made_places(folder: Path) -> tuple[Path, Path, Path]:
    """Return a scratch folder, a checkpoint and the directory of a run, all below `folder`."""
    from modeltest.demo.build import build_demo_model

    folder = folder.absolute()
    scratch, model, runs = folder / "scratch", folder / "model", folder / "runs"
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    if not model.exists():
        build_demo_model("llama", model)
    if not runs.exists():
        words = ["fake", "sample_BoolQ", "4", "llama", "none", "1", "--output", str(runs)]
        subprocess.run([sys.executable, "-m", "modeltest", *words], check=True, capture_output=True)
    return scratch, model, next(runs.iterdir())
