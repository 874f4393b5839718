"""A task file that a command names: its task is made and its rows are read before anything is started."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from modeltest import registry
from modeltest.api import TASK_FILE_PREFIX, AccuracyTask, BringingRows, Mode, RunSpec, SpecError


@dataclass(frozen=True, slots=True)
class NamedTaskFile:
    """A task file that was named: what its task is called in a `RunSpec`, and its mode."""

    name: str
    mode: Mode


def named_task_file(path: str, *, shots: bool = False) -> NamedTaskFile:
    """Return the task file at `path`, which may run from now on if it is code.

    With `shots` its worked examples are read too.

    Raises: SpecError naming file, key and line of what is wrong with it; DatasetError naming file and line of
    a row that does not fit; PrerequisiteError for what a file in Python raises.
    """
    from modeltest.data.load import load_dataset_of
    from modeltest.task_files.named import allow_code, name_of

    name = name_of(path)
    spec = RunSpec(engine="", mode="", task=name, model="", weights="")
    allow_code(spec)
    task = registry.load_task(name)
    assert isinstance(task, AccuracyTask)
    if isinstance(task, BringingRows):
        load_dataset_of(task, "full", data_dir=None, shots_needed=shots)
    return NamedTaskFile(name, task.modes[0])


def modes_with_file(modes: Mapping[str, Mode], words: tuple[str, ...]) -> Mapping[str, Mode]:
    """Return `modes`, and that of the task file if the words of `run.sh` name one as their mode.

    Raises: as `named_task_file`.
    """
    if len(words) < 2 or not words[1].startswith(TASK_FILE_PREFIX):
        return modes
    path = words[1].removeprefix(TASK_FILE_PREFIX)
    if not path:
        raise SpecError("word 2 is 'file:'; expected file:FILE.toml or file:FILE.py")
    return {**modes, words[1]: named_task_file(path, shots=_asks_shots(words)).mode}


def _asks_shots(words: tuple[str, ...]) -> bool:
    return len(words) > 2 and words[2].strip("0").isdecimal()
