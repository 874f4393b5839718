"""A folder of the worker's own for temporary files, gone with it however it ends.

What a library clears away when it is done (torchrun does not even then) stays where its process is killed.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from modeltest.api import PrerequisiteError
from modeltest.run.pipes.variables import TEMPORARY_FOLDER

PREFIX = "modeltest-"


@contextmanager
def temporary_folder() -> Iterator[Mapping[str, str]]:
    """Yield the variables of a worker that name its folder, in the folder of this process's temporary files.

    Not in the run's directory: sockets lie in it, whose names may have 107 bytes.

    Raises: PrerequisiteError when it cannot be made.
    """
    try:
        folder = tempfile.mkdtemp(prefix=PREFIX)
    except OSError as problem:
        raise PrerequisiteError(
            f"cannot make a folder for temporary files: {problem}; set TMPDIR to a folder that takes them"
        ) from problem
    try:
        yield {"TMPDIR": folder, TEMPORARY_FOLDER: folder}
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def remove_temporary_files() -> None:
    """Remove the folder of this worker, which ends: its supervisor may not live to do so."""
    if folder := os.environ.get(TEMPORARY_FOLDER):
        shutil.rmtree(folder, ignore_errors=True)
