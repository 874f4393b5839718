"""How much memory of the host this process may still take: the one rule for it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from modeltest.machine.control_groups import group_folders
from modeltest.machine.proc_files import lines_of, sizes_of

_ROOT = Path("/")

_VERSIONS = (
    ("memory.max", "memory.current", "inactive_file"),
    ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
)
"""Of control groups 2 and 1: the files of limit and use, and the line of `memory.stat` with what can go."""


def free_memory_bytes(root: Path = _ROOT) -> int | None:
    """Return what is still free: what the kernel calls available, or what a control group leaves, if less.

    A container is such a group, and one may lie in another. What the kernel can drop of its file cache counts
    as free. `None` where the system does not tell.

    Source: proc(5); cgroup-v2.rst and cgroup-v1/memory.rst of Linux, Documentation/admin-guide.
    """
    available = sizes_of(root / "proc/meminfo").get("MemAvailable")
    return None if available is None else min((available, *_left_in_groups(root)))


def resident_bytes(root: Path = _ROOT) -> int | None:
    """Return the resident set of this process; `None` where the system does not tell."""
    return sizes_of(root / "proc/self/status").get("VmRSS")


def _left_in_groups(root: Path) -> Iterator[int]:
    for folder in group_folders("memory", root):
        for limit_file, use_file, cached_line in _VERSIONS:
            limit, used = _count(folder / limit_file), _count(folder / use_file)
            if limit is not None and used is not None:
                yield max(0, limit - used + _stat(folder, cached_line))


def _stat(folder: Path, name: str) -> int:
    found = (line.split() for line in lines_of(folder / "memory.stat"))
    return sum(int(words[1]) for words in found if len(words) == 2 and words[0] == name)


def _count(path: Path) -> int | None:
    """Return the number in a file; `None` without one, as where the limit is `max`."""
    words = " ".join(lines_of(path)).split()
    return int(words[0]) if len(words) == 1 and words[0].isdigit() else None
