"""Decides which interpreter runs ModelTest."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterable
from enum import Enum
from pathlib import Path

from modeltest.bootstrap.handover import refuse_namesake
from modeltest.bootstrap.in_place import COMPLETE_THIS, complete_this_python
from modeltest.bootstrap.installed import Installation, find_installation, versions_of
from modeltest.bootstrap.messages import NotReady, say
from modeltest.bootstrap.venv import interpreter_in, make_ready


class Route(Enum):
    """How the interpreter is made ready."""

    AS_IS = "as it is"
    IN_PLACE = "in place"
    VENV = "virtual environment"


def route(found: Installation | None, *, has_torch: bool, in_our_venv: bool, checking: bool) -> Route:
    """Choose what to do with the Python that was found. Pure.

    `checking` is the command `test`: the checks are about this checkout, no other one will do.
    """
    if in_our_venv:
        return Route.VENV
    if found is not None and found.is_this_checkout:
        return Route.AS_IS if found.is_complete else Route.IN_PLACE
    if found is not None and found.is_complete:
        return Route.VENV if checking else Route.AS_IS
    return Route.IN_PLACE if has_torch else Route.VENV


def ready_interpreter(root: Path, venv: Path, extras: Iterable[str]) -> Path:
    """Return an interpreter with ModelTest in it, after installing what it takes.

    Raises: NotReady.
    """
    wanted = frozenset(extras)
    checking = "dev" in wanted
    # A ModelTest that is there is used as it is, with or without an engine's extra: the issue is its owner's.
    found = find_installation(root, wanted if checking else ())
    chosen = route(
        found,
        has_torch=bool(versions_of(["torch"])),
        in_our_venv=os.path.realpath(sys.prefix) == os.path.realpath(venv),
        checking=checking,
    )
    if chosen is Route.VENV:
        python = make_ready(root, venv, wanted) or _complete_foreign(root, venv, wanted)
        _mention_other_version(venv)
        return python
    if chosen is Route.IN_PLACE:
        complete_this_python(root, wanted)
        return Path(sys.executable)
    refuse_namesake(sys.executable)
    if found is not None and not found.is_this_checkout:
        say(f"using the ModelTest installed in {found.location}, not this checkout")
    return Path(sys.executable)


def _complete_foreign(root: Path, venv: Path, extras: frozenset[str]) -> Path:
    python = interpreter_in(venv)
    packages = _packages_in(venv)
    if packages.is_dir():
        # Same version as this Python, so markers mean the same and a look from here, which is fast, will do.
        found = find_installation(root, extras, [str(packages)])
        if found is not None and found.is_this_checkout and found.is_complete:
            return python
    command = [str(python), "-m", "modeltest.bootstrap", COMPLETE_THIS, "test" if "dev" in extras else ""]
    # The checkout is found through the current directory, which this variable would take off the path.
    environment = {**os.environ, "PYTHONSAFEPATH": ""}
    status = subprocess.run(
        command, cwd=root, env=environment, stdin=subprocess.DEVNULL, stdout=sys.stderr, check=False
    ).returncode
    if status:
        raise NotReady(f"the virtual environment {venv} could not be completed; MODELTEST_VENV names another")
    return python


def _mention_other_version(venv: Path) -> None:
    if os.environ.get("MODELTEST_PYTHON") and not _packages_in(venv).is_dir():
        say(f"{venv} is of another version than MODELTEST_PYTHON; remove it, or set MODELTEST_VENV")


def _packages_in(venv: Path) -> Path:
    version = f"python{sys.version_info[0]}.{sys.version_info[1]}"
    return venv / "lib" / version / "site-packages"
