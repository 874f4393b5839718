"""What installed packages declare by entry points, and which package declares it."""

from __future__ import annotations

from functools import cache
from importlib.metadata import EntryPoint, entry_points


@cache
def declared(group: str) -> dict[str, tuple[EntryPoint, ...]]:
    """Return what is declared under each name; several for one name when packages contradict each other.

    One declaration that is found twice is one: a package may be installed twice, under two names.
    """
    found: dict[str, dict[str, EntryPoint]] = {}
    for point in entry_points(group=group):
        found.setdefault(point.name, {}).setdefault(point.value, point)
    return {name: tuple(points.values()) for name, points in found.items()}


def owner_of(point: EntryPoint) -> str:
    """Return the package that declares `point`, with its version."""
    owner = point.dist
    return "an unknown package" if owner is None else f"{owner.name} {owner.version}"
