"""What machine a run ran on, told by the standard library alone."""

from __future__ import annotations

import os
import platform
from pathlib import Path

from modeltest.machine.cpu_quota import cpu_quota
from modeltest.machine.proc_files import lines_of, sizes_of

_PROCESSORS = Path("/sys/devices/system/cpu")
_MEMORY = Path("/proc/meminfo")


def describe_machine() -> dict[str, str | int | float | None]:
    """Return host facts that a reader of the numbers needs; `None` where the host does not tell.

    Asked before the worker starts, so that the load is that of others.
    """
    memory = sizes_of(_MEMORY)
    return {
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.release()}",
        "architecture": platform.machine(),
        "processor": _processor(),
        "cpus": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "cpus_online": os.cpu_count(),
        "cpu_quota": cpu_quota(),
        "sockets": len(_texts("cpu[0-9]*/topology/physical_package_id")) or None,
        "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "memory_available_bytes": memory.get("MemAvailable"),
        "swap_used_bytes": _difference(memory.get("SwapTotal"), memory.get("SwapFree")),
        "load_1min": os.getloadavg()[0],
        "cpu_governor": ", ".join(sorted(_texts("cpu[0-9]*/cpufreq/scaling_governor"))) or None,
    }


def _processor() -> str | None:
    for line in lines_of(Path("/proc/cpuinfo")):
        name, _, value = line.partition(":")
        if name.strip() in ("model name", "Model"):
            return value.strip()
    return None


def _texts(pattern: str) -> set[str]:
    """Return what the files of all processors say, each text once."""
    return {text for path in _PROCESSORS.glob(pattern) for text in lines_of(path)[:1] if text}


def _difference(total: int | None, free: int | None) -> int | None:
    return None if total is None or free is None else total - free
