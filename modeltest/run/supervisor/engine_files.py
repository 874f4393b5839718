"""A folder of the run for what an engine's library writes: empty for each worker, and gone with it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from modeltest.api import Engine, PrerequisiteError, RunSpec, WritingFiles
from modeltest.run.record.directory import SCRATCH_PREFIX

FOLDER = f"{SCRATCH_PREFIX}engine"

_MODE = 0o750
"""MindIE writes into no folder that every user may write to, whatever the umask is."""


@contextmanager
def engine_files(engine: Engine, spec: RunSpec, directory: Path) -> Iterator[Mapping[str, str]]:
    """Yield the variables of a worker whose engine's library writes files; none for any other engine.

    Raises: PrerequisiteError when the folder cannot be made in the run's `directory`.
    """
    if not isinstance(engine, WritingFiles):
        yield {}
        return
    folder = directory / FOLDER
    try:
        shutil.rmtree(folder, ignore_errors=True)  # of a worker that was killed
        folder.mkdir(mode=_MODE)
    except OSError as problem:
        raise PrerequisiteError(f"cannot make {folder}: {problem.strerror}") from problem
    try:
        yield engine.file_environment(spec, folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
