"""Adds to the interpreter that an engine runs in what ModelTest needs there, and nothing else.

`MODELTEST_ENGINE_PYTHON` names it, or `--engine-python` among the words of `run.sh`. Its packages are built
for each other, as those of vLLM are: only what has no version at all there is installed.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from modeltest.bootstrap.in_place import COMPLETE_THIS, complete_this_python
from modeltest.bootstrap.installed import find_installation
from modeltest.bootstrap.messages import NotReady, say

VARIABLE = "MODELTEST_ENGINE_PYTHON"

ENGINE_ALONE = "engine"
"""The word behind `COMPLETE_THIS` by which an engine's Python is told to complete itself."""

_VERSION = "import sys; sys.stdout.write('%d.%d' % sys.version_info[:2])"
_OLDEST = (3, 10)
_START_S = 120
_NAME_ANOTHER = f"{VARIABLE} or --engine-python names it"


def complete_engine_python(root: Path, python: Path) -> None:
    """Have the interpreter `python` complete itself: base requirements and this checkout, if missing.

    Raises: NotReady.
    """
    _refuse_unusable(python)
    # The checkout is found through the current directory, which this variable would take off the path.
    environment = {**os.environ, "PYTHONSAFEPATH": ""}
    command = [str(python), "-m", "modeltest.bootstrap", COMPLETE_THIS, ENGINE_ALONE]
    status = subprocess.run(
        command, cwd=root, env=environment, stdin=subprocess.DEVNULL, stdout=sys.stderr, check=False
    ).returncode
    if status:
        raise NotReady(f"{python} could not be completed; {_NAME_ANOTHER}")


def complete_this_engine_python(root: Path) -> None:
    """Complete the running Python, but leave a whole ModelTest of another place: a run judges it.

    Raises: NotReady.
    """
    found = find_installation(root, ())
    if found is not None and found.is_complete and not found.is_this_checkout:
        say(f"{sys.executable} keeps its own ModelTest, in {found.location}")
        return
    complete_this_python(root, ())


def _refuse_unusable(python: Path) -> None:
    """Refuse what is no Python, or too old a one.

    Raises: NotReady.
    """
    try:
        done = subprocess.run(
            [str(python), "-I", "-S", "-c", _VERSION],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_START_S,
            check=False,
        )
        version = tuple(map(int, done.stdout.split(".")))
    except OSError as problem:
        raise NotReady(f"{python} cannot be started: {problem.strerror}; {_NAME_ANOTHER}") from problem
    except subprocess.TimeoutExpired:
        raise NotReady(f"{python} did not answer within {_START_S} s; {_NAME_ANOTHER}") from None
    except ValueError:
        raise NotReady(f"{python} is no Python; {_NAME_ANOTHER}") from None
    if version < _OLDEST:
        raise NotReady(f"{python} is Python {done.stdout}; engines need 3.10 or newer; {_NAME_ANOTHER}")
