"""Files under /proc and /sys as lines and as numbers; a file that cannot be read says nothing."""

from __future__ import annotations

from pathlib import Path

_KIB = 1024


def lines_of(path: Path) -> list[str]:
    """Return the lines of `path`, whatever bytes are in them; none where it cannot be read."""
    try:
        return path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []


def sizes_of(path: Path) -> dict[str, int]:
    """Return in bytes what a file of lines `Name:  123 kB` says, by name; other lines are passed over."""
    found = {}
    for line in lines_of(path):
        name, _, value = line.partition(":")
        words = value.split()
        if len(words) == 2 and words[0].isdigit() and words[1] == "kB":
            found[name] = int(words[0]) * _KIB
    return found
