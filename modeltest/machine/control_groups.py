"""Where the kernel keeps the limits and counts of the control groups that this process belongs to."""

from __future__ import annotations

from pathlib import Path


def group_folders(controller: str, root: Path) -> tuple[Path, ...]:
    """Return the folders of this process's groups for `controller`, the innermost first, of both versions.

    The last is the root of what is mounted: in a container that is its own group, whatever its name outside.
    Folders need not exist. `root` is that of the file system.

    Source: Documentation/admin-guide/cgroup-v2.rst and cgroup-v1/cgroups.rst of Linux; cgroups(7).
    """
    try:
        lines = (root / "proc/self/cgroup").read_text(encoding="utf-8").splitlines()
    except OSError:
        return ()
    found: list[Path] = []
    for line in lines:
        _, _, rest = line.partition(":")
        controllers, _, group = rest.partition(":")
        mounted = root / "sys/fs/cgroup"
        if not controllers:
            found += _upwards(mounted, group)
        elif controller in controllers.split(","):
            found += _upwards(mounted / controller, group)
    return tuple(found)


def _upwards(mounted: Path, group: str) -> list[Path]:
    names = [name for name in group.split("/") if name not in ("", "..")]
    return [mounted.joinpath(*names[:length]) for length in range(len(names), -1, -1)]
