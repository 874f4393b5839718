"""Rows in the order in which vLLM's prefix cache serves them best. Pure."""

from __future__ import annotations

from collections.abc import Sequence


def prefix_order(rows: Sequence[tuple[int, ...]]) -> list[int]:
    """Return the places of `rows` so that those which begin alike come next to one another."""
    return sorted(range(len(rows)), key=rows.__getitem__)
