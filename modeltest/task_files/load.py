"""From the name of a task file, `file:/path/FILE`, to its task."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from modeltest.api import AccuracyTask, RowsFile, SpecError, mode_of_task_file
from modeltest.task_files.declaration import read_declaration
from modeltest.task_files.fields import plain_fields, to_fields
from modeltest.task_files.keys import rows_file, task_name
from modeltest.task_files.named import PYTHON, path_of
from modeltest.task_files.python_file import guarded, task_in
from modeltest.task_files.tasks import TASKS

_METHODS = ("check", "requires", "requests", "score", "contradiction", "summarize")


def load_task_file(name: str) -> AccuracyTask:
    """Return the task that a file describes. Its rows are not read.

    Raises: SpecError naming what is wrong with the file, and where; whatever a file in Python raises.
    """
    path = path_of(name)
    task = _task_of_python(path) if path.suffix == PYTHON else _task_of_toml(path)
    task.modes = (mode_of_task_file(task.name, name),)
    if not isinstance(task, AccuracyTask):
        raise SpecError(
            f"{path}: {type(task).__name__} lacks something of modeltest.api.AccuracyTask; `data` names its "
            "rows, or `dataset` an installed dataset"
        )
    return task


def _task_of_toml(path: Path) -> Any:
    declaration = read_declaration(path)
    name, place = declaration.name, declaration.keys.place("data")
    task: Any = TASKS[declaration.kind](declaration)
    task.name, task.title, task.dataset = name, declaration.title, name
    task.rows_file = RowsFile(name, place, declaration.data, declaration.shots, to_fields(declaration))
    return task


def _task_of_python(path: Path) -> Any:
    task = task_in(path)
    task.name = _attribute(path, task, "name", task_name)
    task.title = getattr(task, "title", task.name)
    for method in _METHODS:
        if hasattr(task, method):
            setattr(task, method, guarded(getattr(task, method), path))
    if getattr(task, "data", None) is not None:
        rows = path.parent / _attribute(path, task, "data", rows_file)
        has_shots = getattr(task, "shots", None) is not None
        shots = path.parent / _attribute(path, task, "shots", rows_file) if has_shots else None
        task.dataset = task.name
        task.rows_file = RowsFile(task.name, str(path), rows, shots, plain_fields)
    return task


def _attribute(path: Path, task: Any, attribute: str, read: Callable[[Any], str]) -> str:
    value = getattr(task, attribute, None)
    try:
        return read(value)
    except ValueError as problem:
        raise SpecError(f"{path}: {attribute} is {value!r:.80}; {problem}") from None
