"""Numbers as the pages show them: the filters of the templates. Unknown is a dash, never 0."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import floor, log10
from typing import Any

UNKNOWN = "–"

_BINARY_UNITS = ("B", "KiB", "MiB", "GiB", "TiB")


def percent(fraction: float | None, digits: int = 2) -> str:
    """Return a fraction in percent: 0.2534 is `25.34 %`."""
    return UNKNOWN if fraction is None else f"{100 * fraction:.{digits}f} %"


def count(number: float | None) -> str:
    """Return a whole number in groups of three digits."""
    return UNKNOWN if number is None else f"{number:,.0f}"


def significant(number: float | None, digits: int = 4) -> str:
    """Return a number with so many digits that matter, never in powers of ten: `12.35`, `1,235`, `0.0124`."""
    if number is None:
        return UNKNOWN
    if number == 0:
        return "0"
    after_point = digits - 1 - floor(log10(abs(number)))
    return f"{round(number, after_point):,.{min(max(0, after_point), 12)}f}"


def data_size(size_bytes: float | None) -> str:
    """Return a size in the largest binary unit that leaves 1 or more: `1.50 GiB`."""
    if size_bytes is None:
        return UNKNOWN
    size, unit = float(size_bytes), _BINARY_UNITS[0]
    for larger in _BINARY_UNITS[1:]:
        if size < 1024:
            break
        size, unit = size / 1024, larger
    return f"{size:.0f} {unit}" if unit == "B" else f"{significant(size, 3)} {unit}"


def duration(seconds: float | None) -> str:
    """Return a duration as people say it: `0.412 s`, `75.3 s`, `2 h 05 min`."""
    if seconds is None:
        return UNKNOWN
    if seconds < 120:
        return f"{significant(seconds, 3)} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"


def short(digest: str | None, length: int = 12) -> str:
    """Return the first characters of a digest."""
    return UNKNOWN if digest is None else digest[:length]


def or_dash(value: object) -> object:
    """Return `value`, or a dash for what is unknown."""
    return UNKNOWN if value is None else value


FILTERS: Mapping[str, Callable[..., Any]] = {
    "percent": percent,
    "count": count,
    "significant": significant,
    "data_size": data_size,
    "duration": duration,
    "short": short,
    "or_dash": or_dash,
}
