"""The virtual environment that `run.sh` makes, and the stamp in it that says how far it got.

The stamp file is also the lock, so it is written in place. Only a folder with our stamp is ever emptied.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from enum import Enum
from pathlib import Path
from typing import TextIO

from modeltest.bootstrap.handover import (
    packages_of,
    refuse_namesake,
    refuse_other_checkout,
    remove_former,
)
from modeltest.bootstrap.lock import locked
from modeltest.bootstrap.messages import NotReady
from modeltest.bootstrap.pip import CONSTRAINTS, CommandFailed, pip_install, run_logged

STAMP = "modeltest-stamp.json"


@dataclass(frozen=True, slots=True)
class Stamp:
    """What a finished installation was made from. An unfinished one has a stamp without a digest."""

    digest: str = ""
    extras: tuple[str, ...] = ()
    interpreter: str = ""
    """The real file behind `bin/python`: a system upgrade may put another version there."""


class State(Enum):
    """What there is at the place of the virtual environment."""

    ABSENT = "absent"
    FOREIGN = "foreign"
    """Somebody else's: used and completed, never emptied."""

    HALF_MADE = "half made"
    STALE = "stale"
    READY = "ready"


def make_ready(root: Path, venv: Path, extras: Iterable[str]) -> Path | None:
    """Make the virtual environment at `venv` hold this checkout and return its interpreter.

    `None` when the environment there was made by somebody else.
    Raises: NotReady.
    """
    wanted = frozenset(extras)
    digest = digest_of(root)
    state = state_of(venv, wanted, digest)
    python = str(interpreter_in(venv))
    refuse_namesake(python, packages_of(venv))
    if state is not State.READY:
        refuse_other_checkout(root, python, prefix=venv, search_path=packages_of(venv))
    if state is State.FOREIGN:
        return None
    if state is not State.READY:
        with locked(venv / STAMP) as file:
            _make(root, venv, file, wanted)
    return interpreter_in(venv)


def digest_of(root: Path) -> str:
    """Return the digest of everything that decides what is installed: where the checkout is included."""
    parts = [os.fsencode(root), *((root / name).read_bytes() for name in ("pyproject.toml", CONSTRAINTS))]
    return hashlib.sha256(b"".join(hashlib.sha256(part).digest() for part in parts)).hexdigest()


def interpreter_in(venv: Path) -> Path:
    """Return the path of the environment's interpreter, there or not."""
    return venv / "bin" / "python"


def state_of(venv: Path, extras: frozenset[str], digest: str) -> State:
    """Say what there is at `venv`.

    Raises: NotReady for a folder that is neither empty nor a virtual environment.
    """
    if (venv / STAMP).exists():
        return _state_by(_read_stamp((venv / STAMP).read_text(encoding="utf-8")), venv, extras, digest)
    if not venv.exists() or (venv.is_dir() and not any(venv.iterdir())):
        return State.ABSENT
    if (venv / "pyvenv.cfg").is_file() and interpreter_in(venv).exists():
        return State.FOREIGN
    raise NotReady(
        f"{venv} is not a working virtual environment; remove it, or name another place in MODELTEST_VENV"
    )


def _state_by(stamp: Stamp | None, venv: Path, extras: frozenset[str], digest: str) -> State:
    if stamp is None or not stamp.digest or stamp.interpreter != _real_interpreter(venv):
        return State.HALF_MADE
    return State.READY if stamp.digest == digest and extras <= set(stamp.extras) else State.STALE


def _make(root: Path, venv: Path, file: TextIO, extras: frozenset[str]) -> None:
    before = _read_stamp(file.read())
    digest = digest_of(root)
    # Another run may have finished the work while this one waited for the lock.
    state = _state_by(before, venv, extras, digest)
    if state is State.READY:
        return
    # What is cut off by a crash from here on is made anew by the next run.
    _write_stamp(file, Stamp())
    if before is None or state is State.HALF_MADE:
        _create(venv, root)
        before = Stamp()
    complete = sorted(extras.union(before.extras))
    try:
        _install(venv, complete, root)
    except CommandFailed:
        # pip rolls back what it fails at: an older installation stays one.
        _write_stamp(file, before)
        raise
    _write_stamp(file, Stamp(digest, tuple(complete), _real_interpreter(venv)))


def _install(venv: Path, extras: Sequence[str], root: Path) -> None:
    remove_former(str(interpreter_in(venv)), root, packages_of(venv))
    pip_install(
        str(interpreter_in(venv)),
        ["-c", CONSTRAINTS, "-e", f".[{','.join(extras)}]"],
        root=root,
        what=f"installing ModelTest with pip into {venv} (takes minutes the first time)",
        in_venv=True,
    )


def _create(venv: Path, root: Path) -> None:
    for entry in venv.iterdir():
        if entry.name == STAMP:
            continue
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink()
    # An environment made from an environment would break with it.
    base = str(getattr(sys, "_base_executable", None) or sys.executable)
    version = ".".join(map(str, sys.version_info[:3]))
    try:
        run_logged(
            [base, "-m", "venv", str(venv)],
            cwd=root,
            what=f"making the virtual environment {venv} with Python {version}",
            environment=os.environ,
        )
    except CommandFailed as failure:
        hint = "on Debian and Ubuntu the package python3-venv brings it"
        raise NotReady(f"{failure}\n    Python's own module venv is needed: {hint}") from failure


def _real_interpreter(venv: Path) -> str:
    python = interpreter_in(venv)
    return os.path.realpath(python) if python.exists() else ""


def _read_stamp(text: str) -> Stamp | None:
    try:
        record = json.loads(text)
        return Stamp(record["digest"], tuple(record["extras"]), record["interpreter"])
    except (ValueError, KeyError, TypeError):
        return None


def _write_stamp(file: TextIO, stamp: Stamp) -> None:
    file.seek(0)
    file.truncate()
    file.write(json.dumps(asdict(stamp)) + "\n")
    file.flush()
    os.fsync(file.fileno())
