"""How what is missing here is installed: commands that work as they are printed."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

DISTRIBUTION = "llm-modeltest"
"""What pip calls ModelTest. The name `modeltest` belongs to another project on PyPI."""

_ROOT = Path(__file__).resolve().parents[1]


def install_command(extra: str) -> str:
    """Return what to type to add `extra` to the Python that is running.

    A checkout is named by its path, so that pip never looks for it anywhere else. A wheel is named as pip
    knows it: pip takes the one that is installed and adds what it lacks.
    """
    return pip_command(*(("-e", f"{_ROOT}[{extra}]") if _is_checkout() else (f"{DISTRIBUTION}[{extra}]",)))


def same_there(python: str, version: str) -> str:
    """Return what to type to have this ModelTest, which is of `version`, in another interpreter, `python`."""
    words = ("-e", str(_ROOT)) if _is_checkout() else (f"{DISTRIBUTION}=={version}",)
    return shlex.join([python, "-m", "pip", "install", *words])


def pip_command(*words: str) -> str:
    """Return `pip install WORDS` for the Python that is running: the `pip` on PATH may be another one's."""
    return shlex.join([sys.executable, "-m", "pip", "install", *words])


def _is_checkout() -> bool:
    return (_ROOT / "pyproject.toml").is_file()
