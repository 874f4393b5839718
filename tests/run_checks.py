"""Runs every check of the project, all of them even if one fails: `bash run.sh test [WORDS for pytest]`."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

MOST_WORKERS = 8
"""Every worker imports torch: beyond this, memory and start-up cost more than they save."""


def commands(words: Sequence[str], *, cpus: int) -> dict[str, list[str]]:
    """Return each check's command by its name, in the order they run."""
    python = [sys.executable, "-m"]
    workers = ["-n", str(min(cpus, MOST_WORKERS)), "--dist", "worksteal"] if cpus > 1 else []
    lint_imports = "from importlinter.cli import lint_imports_command; lint_imports_command()"
    return {
        "ruff check": [*python, "ruff", "check", "."],
        "ruff format": [*python, "ruff", "format", "--check", "."],
        "mypy": [*python, "mypy"],
        "lint-imports": [sys.executable, "-c", lint_imports],
        "trained model": [sys.executable, "tests/trained_checkpoints.py"],
        "vllm environment": [sys.executable, "tests/vllm_environment.py", "make"],
        "pytest": [*python, "pytest", *workers, *words],
        "pytest on vllm": [sys.executable, "tests/vllm_environment.py", "pytest", *words],
    }


def environment(inherited: dict[str, str]) -> dict[str, str]:
    """Return the variables of the checks: no hub, and one thread each as the tests run side by side."""
    return {**inherited, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}


def main(words: Sequence[str]) -> int:
    failed = []
    variables = environment(dict(os.environ))
    for name, command in commands(words, cpus=len(os.sched_getaffinity(0))).items():
        tell(f"== {name}")
        if subprocess.run(command, cwd=ROOT, env=variables, check=False).returncode:
            failed.append(name)
    tell(f"== failed: {', '.join(failed)}" if failed else "== all checks passed")
    return 1 if failed else 0


def tell(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
