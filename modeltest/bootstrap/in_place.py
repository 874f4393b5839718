"""Adds ModelTest to the running Python without touching what is there.

An Ascend container's torch, torch_npu, numpy and transformers are built for each other: whatever is
installed stays at its version, also when ModelTest asks for another one.
"""

from __future__ import annotations

import hashlib
import importlib
import os
import sys
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path

from modeltest.bootstrap.handover import refuse_namesake, refuse_other_checkout, remove_former
from modeltest.bootstrap.installed import all_versions, find_installation, read_project
from modeltest.bootstrap.lock import locked
from modeltest.bootstrap.messages import say
from modeltest.bootstrap.pip import CONSTRAINTS, CommandFailed, pip_install
from modeltest.bootstrap.requirements import merged_constraints, missing, needed, unsuitable

COMPLETE_THIS = "--complete-this"
"""The word by which a virtual environment's own Python is told to complete itself."""


def complete_this_python(root: Path, extras: Iterable[str]) -> None:
    """Install this checkout and what it misses; nothing if all of it is there.

    Raises: NotReady.
    """
    wanted = frozenset(extras)
    refuse_namesake(sys.executable)
    if _is_complete(root, wanted):
        return
    refuse_other_checkout(root, sys.executable, prefix=Path(sys.prefix))
    with locked(_lock_file()):
        importlib.invalidate_caches()
        if not _is_complete(root, wanted):
            _install(root, wanted)


def _is_complete(root: Path, extras: frozenset[str]) -> bool:
    found = find_installation(root, extras)
    return found is not None and found.is_this_checkout and found.is_complete


def _install(root: Path, extras: frozenset[str]) -> None:
    installed = all_versions()
    requirements = needed(read_project(root), extras)
    for phrase in unsuitable(requirements, installed):
        say(f"left as it is: {phrase}")
    lacking = missing(requirements, installed)
    if lacking:
        _add(lacking, installed, root)
    remove_former(sys.executable, root)
    # Last, so that an installation that can be found is a whole one.
    pip_install(
        sys.executable, ["--no-deps", "-e", "."], root=root, what=f"installing ModelTest into {sys.prefix}"
    )


def _add(lacking: Sequence[str], installed: dict[str, str], root: Path) -> None:
    what = f"adding {', '.join(lacking)} to {sys.prefix}"
    tested = (root / CONSTRAINTS).read_text(encoding="utf-8")
    try:
        _add_under(merged_constraints(tested, installed), lacking, root=root, what=what)
    except CommandFailed as failure:
        if not failure.is_conflict:
            raise
        failure.log.unlink()
        say("the tested versions do not go with what is installed here; taking versions that do")
        _add_under(merged_constraints("", installed), lacking, root=root, what=what)


def _add_under(constraints: str, lacking: Sequence[str], *, root: Path, what: str) -> None:
    with tempfile.TemporaryDirectory(prefix="modeltest-") as folder:
        file = Path(folder) / CONSTRAINTS
        file.write_text(constraints, encoding="utf-8")
        pip_install(sys.executable, ["-c", str(file), *lacking], root=root, what=what)


def _lock_file() -> Path:
    prefix = hashlib.sha256(os.fsencode(sys.prefix)).hexdigest()[:12]
    return Path(tempfile.gettempdir()) / f"modeltest-{os.getuid()}-{prefix}.lock"
