"""Starts a part of ModelTest so that nothing of the current directory is imported.

`python start.py MODULE WORDS` calls `main` of a module. `python -m` would put the current directory before
everything that is installed: a `json.py`, a `torch.py` or a folder `engines/` that happens to lie where the
user stands would be run in its place. A file that is started by its path gets the folder it lies in instead,
which is ModelTest's own; it is taken away here, before anything is imported. `-P` and `PYTHONSAFEPATH` do the
same, but from Python 3.11 on only; `-I` would drop `PYTHONPATH`, which MindIE needs. So this file may use
nothing that Python has not loaded when it starts.
"""

import os
import site
import sys

_VARIABLE = "PYTHONPATH"
_PACKAGE = os.path.dirname(os.path.abspath(__file__))  # noqa: PTH100, PTH120 (pathlib is not loaded yet)


def python_command(module: str, *words: str, python: "str | None" = None) -> list[str]:
    """Return the command that calls `main(words)` of `module` in a process of its own.

    In another interpreter, `python`, that is the module of the ModelTest which is installed there.
    """
    return [python or sys.executable, *start_words(module, *words)]


def start_words(module: str, *words: str) -> list[str]:
    """Return what stands behind the interpreter in `python_command`."""
    return [os.path.join(_PACKAGE, "start.py"), module, *words]  # noqa: PTH118


def leave_out_current_directory() -> None:
    """Take the current directory off the import path, where `python -m` or `PYTHONPATH` has put it unasked.

    It stays when `PYTHONPATH` spells it out as an absolute path, and when ModelTest itself lies in it.
    """
    try:
        here = os.path.realpath(os.curdir)
    except OSError:  # it has been removed: nothing can be imported from it
        return
    entries = _entries(os.environ.get(_VARIABLE, ""))
    wanted = [entry for entry in entries if os.path.isabs(entry)]  # noqa: PTH117
    if here in map(os.path.realpath, [*wanted, os.path.dirname(_PACKAGE)]):  # noqa: PTH120
        return
    if sys.path and os.path.realpath(sys.path[0]) == here:
        del sys.path[0]
    if len(wanted) < len(entries) and here not in map(os.path.realpath, site.getsitepackages()):
        sys.path[:] = [entry for entry in sys.path if os.path.realpath(entry) != here]


def without_current_directory(variables: dict[str, str]) -> dict[str, str]:
    """Return `variables` for a child, whose `PYTHONPATH` does not mean the current directory.

    An empty entry does, such as the one that `PYTHONPATH=$PYTHONPATH:/more` leaves where none was set before.
    """
    if _VARIABLE not in variables:
        return variables
    kept = [entry for entry in _entries(variables[_VARIABLE]) if os.path.normpath(entry) != os.curdir]
    return {**variables, _VARIABLE: os.pathsep.join(kept)}


def _entries(text: str) -> list[str]:
    return text.split(os.pathsep) if text else []


def _main() -> object:
    if sys.path and os.path.realpath(sys.path[0]) == os.path.realpath(_PACKAGE):
        del sys.path[0]
    leave_out_current_directory()
    from importlib import import_module

    module = sys.argv.pop(1)
    return import_module(module).main(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(_main())  # type: ignore[arg-type]
