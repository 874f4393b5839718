"""How many rows the words of a run ask for together. Pure."""

from __future__ import annotations

from modeltest.api import RunSpec


def rows_asked(spec: RunSpec, case_index: int) -> tuple[int, int]:
    """Return the fewest and the most rows that `spec` may ask of a case in one batch."""
    ranges = spec.options.batch_ranges
    if ranges:
        bounds = ranges[0] if len(ranges) == 1 else ranges[case_index]
        return bounds.lowest, bounds.highest
    sizes = spec.batch_sizes_of(case_index) if spec.batch_sizes else (1,)
    return min(sizes), max(sizes)
