"""How often the kernel's out-of-memory killer has struck among the processes that share our limits."""

from __future__ import annotations

from pathlib import Path

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


def _group_files(root: Path) -> list[Path]:
    try:
        lines = (root / "proc/self/cgroup").read_text(encoding="utf-8").splitlines()
    except OSError:
        return []
    files = []
    for line in lines:
        _, _, rest = line.partition(":")
        controllers, _, group = rest.partition(":")
        folder = root / "sys/fs/cgroup"
        if not controllers:
            files += [folder / group.lstrip("/") / "memory.events", folder / "memory.events"]
        elif "memory" in controllers.split(","):
            of_memory = folder / "memory"
            files += [of_memory / group.lstrip("/") / "memory.oom_control", of_memory / "memory.oom_control"]
    return files


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
