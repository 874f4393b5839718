"""Introduces an interpreter that is not known yet: run by it, by the path of this file.

Says in one line what that Python is, where ModelTest is installed there, and whether what is asked for can be
imported; then MODULE of that ModelTest answers (`serve(say)`). Every line that counts begins with MARK, as a
Python may print what it likes when it starts. It may be an old one, of which just that is to be said: so the
syntax is one that those read, and nothing is imported that they lack.
"""

import os
import sys

OLDEST = (3, 10)


def main(module: str, mark: str) -> None:
    """Introduce this Python, and let `module` answer if it can be imported."""
    # The folder of this file comes first otherwise, or the current one, and modules there hide others.
    here = os.path.realpath(os.path.dirname(os.path.abspath(__file__)))  # noqa: PTH100, PTH120
    sys.path[:] = [entry for entry in sys.path if entry and os.path.realpath(entry) != here]
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what a library prints is no answer
    import json

    def say(value: object) -> None:
        answers.write(mark + json.dumps(value) + "\n")
        answers.flush()

    facts: dict[str, object] = {"version": ".".join(map(str, sys.version_info[:3])), "packages": {}}
    if sys.version_info < OLDEST:
        say(facts)
        return
    from importlib import import_module

    facts["packages"] = _packages()
    answering = None
    try:
        answering = import_module(module)
    except Exception as problem:
        facts["lacks"] = getattr(problem, "name", None)
        facts["failure"] = type(problem).__name__ + ": " + str(problem)
    say(facts)
    if answering is not None:
        answering.serve(say)


def _packages() -> "dict[str, str]":
    from importlib.util import find_spec

    found = {name: find_spec(name) for name in ("modeltest", "engines", "reports")}
    return {
        name: next(iter(spec.submodule_search_locations))
        for name, spec in found.items()
        if spec is not None and spec.submodule_search_locations
    }


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
