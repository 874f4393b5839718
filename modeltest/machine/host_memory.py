"""The memory of this process, as the kernel counts it; engines and the core both ask."""

from __future__ import annotations

import resource
from pathlib import Path

from modeltest.machine.proc_files import sizes_of

_STATUS = Path("/proc/self/status")
_CLEAR = Path("/proc/self/clear_refs")
_KIB = 1024


def resident_peak_bytes() -> int:
    """Return the largest resident set of this process since the last `forget_resident_peak`."""
    peak = sizes_of(_STATUS).get("VmHWM")
    return peak if peak is not None else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _KIB


def forget_resident_peak() -> bool:
    """Begin a new peak; say whether the kernel let it, for else an older one would be told as the new."""
    try:
        _CLEAR.write_text("5", encoding="ascii")
    except OSError:
        return False
    return True
