"""What the figures were measured on, without anything that names the machine itself."""

from __future__ import annotations

import os
import platform
import shlex
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

PACKAGES = ("llm-modeltest", "lm_eval", "torch", "transformers")
_NAMES = {"llm-modeltest": "modeltest", "lm_eval": "lm-eval"}


def describe() -> dict[str, str]:
    """Return processor, memory, system and versions."""
    memory_bytes = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "processor": f"{_processor()}, {len(os.sched_getaffinity(0))} cores",
        "memory": f"{memory_bytes / 2**30:.0f} GiB",
        "system": f"{platform.system()} {platform.machine()}",
        "Python": platform.python_version(),
        **{_NAMES.get(name, name): installed(name) or "absent" for name in PACKAGES},
    }


def command_line() -> str:
    """Return the command that this benchmark was started by, as it is typed."""
    return shlex.join(["python", *sys.argv])


def installed(package: str) -> str | None:
    """Return the version of an installed package."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _processor() -> str:
    # /proc tells the model on x86; elsewhere the architecture must do.
    path = Path("/proc/cpuinfo")
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()
