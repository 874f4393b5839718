"""Prints the interpreter to run ModelTest with: `python -m modeltest.bootstrap [FIRST_WORD]`.

Progress goes to stderr. Exit status 0: the interpreter's path is on stdout; 3: the machine lacks something.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from modeltest.bootstrap.choose import ready_interpreter
from modeltest.bootstrap.engine_python import (
    ENGINE_ALONE,
    VARIABLE,
    complete_engine_python,
    complete_this_engine_python,
)
from modeltest.bootstrap.in_place import COMPLETE_THIS, complete_this_python
from modeltest.bootstrap.messages import NotReady, say

RUN_EXTRAS = frozenset({"endpoint", "hf", "report"})
CHECK_EXTRAS = frozenset({"dev", "endpoint", "hf", "report"})


def main(words: list[str]) -> int:
    """Make an interpreter ready for the `run.sh` word given and print its path."""
    root = Path(__file__).resolve().parents[2]
    complete_this = words[:1] == [COMPLETE_THIS]
    command = words[1:2] if complete_this else words[:1]
    extras = CHECK_EXTRAS if command == ["test"] else RUN_EXTRAS
    try:
        if complete_this and command == [ENGINE_ALONE]:
            complete_this_engine_python(root)
            return 0
        if complete_this:
            complete_this_python(root, extras)
            return 0
        venv = Path(os.environ.get("MODELTEST_VENV") or root / ".venv")
        python = ready_interpreter(root, venv.absolute(), extras)
        if (engine_python := os.environ.get(VARIABLE)) and command not in ([], ["test"]):
            complete_engine_python(root, Path(engine_python).expanduser())
    except NotReady as problem:
        say(str(problem))
        return 3
    except KeyboardInterrupt:
        say("interrupted; the next run starts over where needed")
        return 130
    sys.stdout.write(f"{python}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
