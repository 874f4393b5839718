"""How much processor time the kernel lets this process have, where a container is limited to some."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from modeltest.machine.control_groups import group_folders

_ROOT = Path("/")


def cpu_quota(root: Path = _ROOT) -> float | None:
    """Return the processors whose time this process may use, 1.5 say; `None` where there is no limit.

    A process that has used its share of a period (0.1 s as a rule) stands still until the next one. Of its
    group and those around it, the least counts.

    Source: `cpu.max` in Documentation/admin-guide/cgroup-v2.rst of Linux, and `cpu.cfs_quota_us` of version 1
    in Documentation/scheduler/sched-bwc.rst.
    """
    return min(_quotas(root), default=None)


def _quotas(root: Path) -> Iterator[float]:
    for folder in group_folders("cpu", root):
        of_version_1 = _words(folder / "cpu.cfs_quota_us") + _words(folder / "cpu.cfs_period_us")
        for words in (_words(folder / "cpu.max"), of_version_1):
            # Without a limit the quota is "max", of version 1 -1.
            if len(words) == 2 and all(word.isdigit() and int(word) > 0 for word in words):
                yield int(words[0]) / int(words[1])


def _words(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="ascii", errors="replace").split()
    except OSError:
        return []
