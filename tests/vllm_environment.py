"""The environment of the tests on vLLM: made once beside the one of the checks, and they run there.

vLLM wants versions of torch and transformers of its own. `constraints-vllm.txt` is all that is installed.
`bash run.sh test` makes it before the tests begin (`python tests/vllm_environment.py make`) and then runs
those marked `vllm` with its interpreter (`... pytest WORDS`). A later run finds it there; one that is half
made, or made by another recipe, is made anew.
"""

from __future__ import annotations

import argparse
import fcntl
import hashlib
import json
import os
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path

import trained_checkpoints
from trained_checkpoints import folder, is_ci

ROOT = Path(__file__).resolve().parents[1]
RECIPE = ROOT / "constraints-vllm.txt"

FOLDERS = ("tests/engines/vllm", "tests/engines/endpoint", "tests/vllm")
"""Where tests are marked `vllm`: others import packages that this environment has not."""

NO_VLLM = "no vLLM environment"
"""Begins the reason of a test that is skipped for want of it."""

STAMP = "modeltest-tests.json"

NO_TESTS = 5
"""Exit status of pytest when the words select none."""

_ACCELERATORS = ("/dev/nvidia0", "/dev/davinci0", "/dev/kfd")

Tell = Callable[[str], None]


class NoEnvironment(Exception):
    """It cannot be made here; the message says why."""


def place(variables: Mapping[str, str]) -> Path:
    """Return the folder of the environment: each checkout has its own, as it is installed there."""
    name = hashlib.sha256(os.fsencode(ROOT)).hexdigest()[:8]
    return folder(variables) / f"vllm-{name}"


def interpreter(variables: Mapping[str, str]) -> Path | None:
    """Return the interpreter of the environment, if a whole one is there."""
    where = place(variables)
    return where / "bin" / "python" if _stamp_in(where) == _stamp() else None


def make(variables: Mapping[str, str], tell: Tell) -> Path:
    """Return the interpreter of the environment, which is made if it is not there.

    Raises: NoEnvironment.
    """
    where = place(variables)
    try:
        where.parent.mkdir(parents=True, exist_ok=True)
        with where.with_suffix(".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if _stamp_in(where) != _stamp():
                _make(where, variables, tell)
    except OSError as problem:
        raise NoEnvironment(f"{NO_VLLM}: {problem}") from problem
    return where / "bin" / "python"


def has_vllm() -> bool:
    """Say whether this interpreter has vLLM: a folder of tests that is called so is none."""
    spec = find_spec("vllm")
    return spec is not None and spec.origin is not None


def variables_of_tests(inherited: Mapping[str, str], checkpoints: Mapping[str, Path]) -> dict[str, str]:
    """Return the variables of the tests there: no hub, no telemetry, little memory, the trained models."""
    fixed = {
        "HF_HUB_OFFLINE": "1",
        "VLLM_NO_USAGE_STATS": "1",
        "DO_NOT_TRACK": "1",
        "VLLM_CPU_KVCACHE_SPACE": "2",
        trained_checkpoints.GIVEN: json.dumps({dtype: str(path) for dtype, path in checkpoints.items()}),
    }
    if not any(Path(device).exists() for device in _ACCELERATORS):
        fixed["VLLM_TARGET_DEVICE"] = "cpu"
    return {**inherited, **fixed}


def pytest_words(words: Sequence[str], root: Path = ROOT) -> list[str] | None:
    """Return what pytest is given there for the words of the whole run; `None`: they are about other tests.

    Paths outside the folders of such tests are for the other environment. One process runs, as each server
    of vLLM takes all processors.
    """
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("-m")
    known, rest = parser.parse_known_args(list(words))
    folders = [each for each in FOLDERS if (root / each).is_dir()]
    paths = [word for word in rest if _is_path(word, root)]
    here = [path for path in paths if any(_lies_in(path, each, root) for each in folders)]
    if paths and not here:
        return None
    others = [word for word in rest if word not in paths]
    marked = f"vllm and ({known.m})" if known.m else "vllm"
    return [*(here or folders), *others, "-m", marked, "-n", "0"] if here or folders else None


def _is_path(word: str, root: Path) -> bool:
    return not word.startswith("-") and (root / word.partition("::")[0]).exists()


def _lies_in(path: str, place: str, root: Path) -> bool:
    return (root / path.partition("::")[0]).resolve().is_relative_to((root / place).resolve())


def _make(where: Path, variables: Mapping[str, str], tell: Tell) -> None:
    begin = time.monotonic()
    python = where / "bin" / "python"
    if _stamp_in(where).get("recipe") != _stamp()["recipe"]:
        tell(f"making the environment of the tests on vLLM in {where} (3 GB, some minutes) ...")
        if where.exists():
            shutil.rmtree(where)
        base = str(getattr(sys, "_base_executable", None) or sys.executable)
        _run([base, "-m", "venv", str(where)], variables, "venv")
        pip = [str(python), "-m", "pip", "install", "--disable-pip-version-check", "--no-input", "-q"]
        _run([*pip, "--no-deps", "-r", str(RECIPE)], variables, "pip")
        _run([str(python), "-c", "import torch, transformers"], variables, "the import of what was installed")
    # Each part is written when it is done, so that what has all of a stamp is whole.
    _write_stamp(where, {"recipe": _stamp()["recipe"]})
    pip = [str(python), "-m", "pip", "install", "--disable-pip-version-check", "--no-input", "-q"]
    _run([*pip, "--no-deps", "-e", str(ROOT)], variables, "pip")
    _write_stamp(where, _stamp())
    tell(f"the environment of the tests on vLLM is ready after {time.monotonic() - begin:.0f} s")


def _run(command: Sequence[str], variables: Mapping[str, str], what: str) -> None:
    """Run a step.

    Raises: NoEnvironment with the end of what it printed.
    """
    done = subprocess.run(
        command, env=dict(variables), stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    if done.returncode:
        said = " ".join((done.stderr or done.stdout).split())[-600:]
        raise NoEnvironment(f"{NO_VLLM}: {what} failed: {said}")


def _stamp() -> dict[str, str]:
    """Return what decides the content of a whole environment."""
    base = os.path.realpath(getattr(sys, "_base_executable", None) or sys.executable)
    recipe = hashlib.sha256(RECIPE.read_bytes() + os.fsencode(base) + sys.version.encode())
    project = hashlib.sha256((ROOT / "pyproject.toml").read_bytes())
    return {"recipe": recipe.hexdigest(), "project": project.hexdigest()}


def _write_stamp(where: Path, stamp: Mapping[str, str]) -> None:
    scratch = where / f"{STAMP}.tmp"
    scratch.write_text(json.dumps(stamp), encoding="utf-8")
    scratch.replace(where / STAMP)


def _stamp_in(where: Path) -> dict[str, str]:
    try:
        found = json.loads((where / STAMP).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _making() -> int:
    try:
        tell(str(make(os.environ, tell)))
    except NoEnvironment as problem:
        tell(f"{'error' if is_ci(os.environ) else 'NOTICE'}: {problem}")
        return 1 if is_ci(os.environ) else 0
    return 0


def _testing(words: Sequence[str]) -> int:
    """Run the tests marked `vllm` in their environment; without it they are skipped in this one, with why."""
    chosen = pytest_words(words)
    if chosen is None:
        tell("none of the words is about tests on vLLM")
        return 0
    python = interpreter(os.environ) or Path(sys.executable)
    checkpoints = {}
    for dtype in ("float32", "bfloat16"):
        try:
            checkpoints[dtype] = trained_checkpoints.checkpoint(dtype)
        except trained_checkpoints.NoTrainedModel as problem:
            tell(f"NOTICE: {problem}")
    command = [str(python), "-m", "pytest", *chosen]
    tell(shlex.join(command))
    status = subprocess.run(
        command, cwd=ROOT, env=variables_of_tests(os.environ, checkpoints), check=False
    ).returncode
    return 0 if status == NO_TESTS else status


def tell(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def main(arguments: Sequence[str]) -> int:
    """Do what the first word says: `make`, or `pytest WORDS`."""
    if arguments[:1] == ["make"]:
        return _making()
    if arguments[:1] == ["pytest"]:
        return _testing(arguments[1:])
    tell("usage: python tests/vllm_environment.py make | pytest [WORDS]")
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
