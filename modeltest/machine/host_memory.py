"""The memory of this process, as the kernel counts it; engines and the core both ask."""

from __future__ import annotations

import resource
from pathlib import Path

_STATUS = Path("/proc/self/status")
_CLEAR = Path("/proc/self/clear_refs")
_KIB = 1024


def resident_peak_bytes() -> int:
    """Return the largest resident set of this process since the last `forget_resident_peak`."""
    try:
        lines = _STATUS.read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        lines = []
    for line in lines:
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * _KIB
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _KIB


def forget_resident_peak() -> bool:
    """Begin a new peak; say whether the kernel let it, for else an older one would be told as the new."""
    try:
        _CLEAR.write_text("5", encoding="ascii")
    except OSError:
        return False
    return True
