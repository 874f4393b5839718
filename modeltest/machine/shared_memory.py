"""Shared memory that processes leave behind when they are killed: known by what a group of them has mapped.

A name in /dev/shm stays until somebody removes it. Libraries remove theirs at the end, and vLLM's when all
ranks have opened them; a process that is killed before does not.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from modeltest.machine.proc_files import lines_of

SHARED = Path("/dev/shm")
_PROCESSES = Path("/proc")

NAMES = ("psm_", "sem.mp-", "sem.loky-", "vllm_dist_")
"""How names begin that Python's own library, joblib and vLLM make; others may be a driver's, which stay."""


class SharedMemoryOf:
    """The named shared memory of a process group, looked at while it lives and removed when it has ended."""

    def __init__(self, group: int) -> None:
        self._group = group
        self._seen: set[Path] = set()

    def look(self) -> None:
        """Note what the processes of the group have mapped now; names that are gone since are forgotten."""
        self._seen = {path for path in self._seen if path.exists()}
        for process in _processes():
            if _group_of(process) == self._group:
                self._seen.update(mapped(process))

    def remove(self) -> None:
        """Remove what was seen and no other process has mapped; called when the group was killed.

        The last of the group may take a moment to die of it.
        """
        if not self._seen:
            return
        others = (process for process in _processes() if _group_of(process) != self._group)
        used = {path for process in others for path in mapped(process)}
        for path in self._seen - used:
            with suppress(OSError):
                path.unlink(missing_ok=True)


def mapped(process: int) -> Iterator[Path]:
    """Yield the shared memory that `process` has mapped, if its name is there and a library made it."""
    for line in lines_of(_PROCESSES / str(process) / "maps"):
        path = Path(line.split(maxsplit=5)[-1])
        # What has no name any more ends in " (deleted)".
        if path.parent == SHARED and path.name.startswith(NAMES) and path.exists():
            yield path


def _processes() -> Iterator[int]:
    with suppress(OSError):
        for folder in _PROCESSES.iterdir():
            if folder.name.isdigit():
                yield int(folder.name)


def _group_of(process: int) -> int | None:
    with suppress(OSError):
        return os.getpgid(process)
    return None  # it has ended
