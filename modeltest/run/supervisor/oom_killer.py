"""How many processes that share this one's memory limits the kernel's out-of-memory killer has killed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from modeltest.machine.control_groups import group_folders

_ROOT = Path("/")


def oom_kills(root: Path = _ROOT) -> int | None:
    """Return the kernel's count of processes killed for want of memory, or `None` where it does not tell.

    It is the count of this process's memory cgroup (`memory.events`, or `memory.oom_control` of version 1),
    which a limit of the group and a lack of the whole host both raise; without such a group, the host's.

    Source: Documentation/admin-guide/cgroup-v2.rst and cgroup-v1/memory.rst of Linux; /proc/vmstat.
    """
    for path in (*_group_files(root), root / "proc/vmstat"):
        count = _read_count(path)
        if count is not None:
            return count
    return None


def _group_files(root: Path) -> Iterator[Path]:
    for folder in group_folders("memory", root):
        yield folder / "memory.events"
        yield folder / "memory.oom_control"


def _read_count(path: Path) -> int | None:
    try:
        lines = path.read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return None
    for line in lines:
        name, _, value = line.partition(" ")
        if name == "oom_kill" and value.strip().isdigit():
            return int(value)
    return None
