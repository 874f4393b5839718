"""The predecessor's search: plain bisection of the range, one sample a probe."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Sample:
    """One probe; without a latency it did not fit in memory."""

    batch_size: int
    latency_ms: float | None


def bisect(
    lowest: int, highest: int, limit_ms: float, measure: Callable[[int], float | None]
) -> tuple[int | None, tuple[Sample, ...]]:
    """Return the largest batch size that passed, and the probes in their order.

    What ran out of memory fails. In the predecessor it kept the verdict of the probe before, which is no
    part of the comparison.
    """
    best: int | None = None
    samples = []
    low, high = lowest, highest
    while low <= high:
        middle = (low + high) // 2
        latency_ms = measure(middle)
        samples.append(Sample(middle, latency_ms))
        if latency_ms is not None and latency_ms <= limit_ms:
            best, low = middle, middle + 1
        else:
            high = middle - 1
    return best, tuple(samples)
