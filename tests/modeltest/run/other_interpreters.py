"""Interpreters beside the one of the tests: real ones, made in a moment as they borrow its packages."""

from __future__ import annotations

import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
PACKAGES = ("modeltest", "engines", "reports")
BORROWED = tuple(dict.fromkeys(sysconfig.get_path(name) for name in ("purelib", "platlib")))

TELLING = """\
import os, sys
print("a Python that talks when it starts")
if "MODELTEST_EVENTS" in os.environ:
    with open(os.path.join(sys.prefix, "workers"), "a") as file:
        file.write(" ".join(sys.argv[1:2]) + "\\n")
"""
"""What is run when such a Python starts: it prints, and keeps a list of workers."""


def make_interpreter(folder: Path, path: Sequence[str | Path] = (ROOT, *BORROWED), start: str = "") -> Path:
    """Make an environment in `folder` with nothing but `path` to import from, and return its interpreter."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    site = site_of(folder)
    (site / "borrowed.pth").write_text("".join(f"{entry}\n" for entry in path))
    if start:
        (site / "sitecustomize.py").write_text(start)
    return folder / "bin" / "python"


def site_of(folder: Path) -> Path:
    """Return the folder of packages of an environment."""
    (site,) = folder.glob("lib/python3*/site-packages")
    return site


def copy_modeltest(folder: Path) -> Path:
    """Copy the packages of ModelTest into `folder` and return it."""
    for name in PACKAGES:
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    return folder


def make_script(path: Path, text: str) -> Path:
    """Write a program for the shell."""
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path
