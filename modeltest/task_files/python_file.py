"""A task file in Python: the one class of a task that it defines."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from hashlib import sha256
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from traceback import extract_tb
from typing import Any

from modeltest.api import ModelTestError, PrerequisiteError, SpecError
from modeltest.task_files.named import refuse_untrusted

METHODS = ("requests", "score", "summarize")
"""What a class has that is a task of questions."""


def task_in(path: Path) -> Any:
    """Return the task of the class that the file at `path` defines.

    Raises: SpecError when nobody has allowed it, or it defines none or several; whatever the file raises.
    """
    refuse_untrusted(path)
    module = _module(path)
    found = [
        value
        for name, value in vars(module).items()
        if isinstance(value, type)
        and not name.startswith("_")
        and value.__module__ == module.__name__
        and all(hasattr(value, method) for method in METHODS)
    ]
    if len(found) != 1:
        names = ", ".join(kind.__name__ for kind in found) or "none"
        raise SpecError(
            f"{path}: one class of its own with the methods of modeltest.api.AccuracyTask is expected, "
            f"and there is {names}; a name that begins with _ is passed over"
        )
    return found[0]()


def guarded(method: Callable[..., Any], path: Path) -> Callable[..., Any]:
    """Return `method` of the task in the file at `path`; whatever it raises is one line that names the file.

    Errors of our own kinds say enough.
    """

    @wraps(method)
    def call(*arguments: Any, **named: Any) -> Any:
        with _guard(path):
            result = method(*arguments, **named)
        return _each(result, path) if isinstance(result, Iterator) else result

    return call


def _each(items: Iterator[Any], path: Path) -> Iterator[Any]:
    with _guard(path):
        yield from items


@contextmanager
def _guard(path: Path) -> Iterator[None]:
    try:
        yield
    except ModelTestError:
        raise
    except Exception as problem:
        lines = [each.lineno for each in extract_tb(problem.__traceback__) if each.filename == str(path)]
        where = f"{path}, line {lines[-1]}" if lines else str(path)
        reason = " ".join(f"{type(problem).__name__}: {problem}".split())
        raise PrerequisiteError(f"task file {where}: {reason:.500}") from problem


def _module(path: Path) -> Any:
    name = _name(path)
    if name not in sys.modules:
        spec = spec_from_file_location(name, path)
        if spec is None or spec.loader is None:
            raise SpecError(f"{path} is no Python file")
        module = sys.modules[name] = module_from_spec(spec)
        try:
            spec.loader.exec_module(module)
        except BaseException:
            del sys.modules[name]
            raise
    return sys.modules[name]


def _name(path: Path) -> str:
    """Return the name of the module: of the path and what stands there, which may change between two runs."""
    content = str(path).encode() + b"\0" + path.read_bytes()
    return f"modeltest_task_file_{sha256(content).hexdigest()[:16]}"
