"""How much memory a loaded model may use at most, counted as `device.peak_memory_bytes` does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

_CGROUP = Path("/sys/fs/cgroup")
_KIB = 1024


def memory_limit_bytes(device: str) -> int | None:
    """Return what the peak can reach: what this process holds now and what is still free.

    On a device, the memory torch has reserved plus what is free. On the cpu, the resident set of this process
    plus what the kernel calls available, or what the control group (a container) leaves, if that is less.
    `None` where the system does not tell.
    """
    if device != "cpu":
        return _of_device(device)
    status, memory = _kib(Path("/proc/self/status")), _kib(Path("/proc/meminfo"))
    if "VmRSS" not in status or "MemAvailable" not in memory:
        return None
    free = [memory["MemAvailable"] * _KIB, *_free_in_control_group(_CGROUP)]
    return status["VmRSS"] * _KIB + min(free)


def _of_device(device: str) -> int:
    import torch

    module: Any = getattr(torch, device)
    free: int = module.mem_get_info()[0]
    reserved: int = module.memory_reserved()
    return free + reserved


def _kib(path: Path) -> dict[str, int]:
    """Return the lines `Name:  123 kB` of a file under /proc."""
    try:
        lines = path.read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return {}
    parts = [line.partition(":") for line in lines]
    return {name: int(value.split()[0]) for name, _, value in parts if value.strip().endswith(" kB")}


def _free_in_control_group(folder: Path) -> list[int]:
    """Return what control group version 2 leaves, its file cache counted as free; nothing without a limit."""
    try:
        limit = (folder / "memory.max").read_text(encoding="ascii").strip()
        used = int((folder / "memory.current").read_text(encoding="ascii"))
        lines = (folder / "memory.stat").read_text(encoding="ascii").splitlines()
    except (OSError, ValueError):
        return []
    if not limit.isdigit():
        return []
    cached = sum(int(line.split()[1]) for line in lines if line.startswith("inactive_file "))
    return [max(0, int(limit) - used + cached)]
