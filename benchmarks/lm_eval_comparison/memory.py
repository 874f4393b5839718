"""The memory of a command: the summed proportional share of all its processes, sampled while it runs.

A page that several processes map counts for each of them by its share (PSS), so that the sum is what the
command takes of the machine: neither is a library counted once per process, nor is a helper left out.
Source: the kernel's documentation of proc(5), `smaps_rollup`.
"""

from __future__ import annotations

import os
import threading
import time
from collections import defaultdict
from pathlib import Path

INTERVAL_S = 0.1

_LARGEST_SHARE = 20
"""A sample walks the page tables of the process: at most one part in so many of the time goes into that."""

_PROC = Path("/proc")
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


class PeakMemory:
    """Samples the processes below `pid` in a thread of its own, from `with` to its end."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)
        self.peak_bytes: int | None = None
        """`None` where the system does not tell."""

    def __enter__(self) -> PeakMemory:
        if is_told():
            self.peak_bytes = 0
            self._thread.start()
        return self

    def __exit__(self, *problem: object) -> None:
        self._is_over.set()
        if self.peak_bytes is not None:
            self._thread.join()

    def _sample(self) -> None:
        pause_s = 0.0
        while not self._is_over.wait(pause_s):
            begin = time.thread_time()  # of a processor: waiting for one disturbs nobody
            pids = process_tree(self._pid)
            # No share is larger than what is resident, which costs nothing to read.
            if sum(map(_resident_bytes, pids)) > (self.peak_bytes or 0):
                self.peak_bytes = max(self.peak_bytes or 0, sum(map(proportional_bytes, pids)))
            pause_s = max(INTERVAL_S, _LARGEST_SHARE * (time.thread_time() - begin))


def is_told() -> bool:
    """Return whether this system tells the memory of a process by shares, as Linux does."""
    return (_PROC / "self" / "smaps_rollup").exists()


def process_tree(pid: int) -> list[int]:
    """Return `pid` and all processes below it, as far as they are there now."""
    children = defaultdict(list)
    for entry in _PROC.iterdir():
        if entry.name.isdecimal() and (parent := _parent(entry)) is not None:
            children[parent].append(int(entry.name))
    found = [pid]
    for each in found:
        found += children[each]
    return found


def proportional_bytes(pid: int) -> int:
    """Return what a process takes, shared pages by their share; 0 for one that has ended."""
    for line in _text(_PROC / str(pid) / "smaps_rollup").splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) * 1024
    return 0


def _resident_bytes(pid: int) -> int:
    words = _text(_PROC / str(pid) / "statm").split()
    return int(words[1]) * _PAGE_BYTES if words else 0


def _parent(entry: Path) -> int | None:
    # The name of the program stands in brackets before it and may hold anything.
    words = _text(entry / "stat").rpartition(")")[2].split()
    return int(words[1]) if words else None


def _text(path: Path) -> str:
    # A process may end between its listing and the reading of its files; others are not ours to read.
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return ""
