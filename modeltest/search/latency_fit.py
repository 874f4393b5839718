"""Latency as a straight line over the batch size: latency = a + b x batch, near the limit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import exp, floor, log

_REACH = 0.5
"""A point whose latency is a factor e^0.5 from the limit counts 1/e of one at the limit."""


@dataclass(frozen=True, slots=True)
class Point:
    """A batch size, its latency and how many trials stand behind it."""

    batch_size: int
    latency_ms: float
    trials: float = 1.0


@dataclass(frozen=True, slots=True)
class LatencyFit:
    """A rising line; `slope_ms` is what one row more costs."""

    start_ms: float
    slope_ms: float

    def latency_ms(self, batch_size: float) -> float:
        """Return the latency the line has at `batch_size`."""
        return self.start_ms + self.slope_ms * batch_size

    def last_within(self, latency_ms: float) -> int:
        """Return the largest batch size at or below `latency_ms`; 0 or less where there is none."""
        return floor((latency_ms - self.start_ms) / self.slope_ms)


def fit(points: Sequence[Point], limit_ms: float) -> LatencyFit | None:
    """Return the line of least squares through `points`; `None` unless it rises.

    Kernels work in steps and not even the trend need be straight: a point counts the less the farther its
    latency is from the limit, where the line will be read.
    """
    distances = [(log(point.latency_ms / limit_ms) / _REACH) ** 2 for point in points]
    nearest = min(distances, default=0.0)
    weights = [
        point.trials * exp(nearest - distance) for point, distance in zip(points, distances, strict=True)
    ]
    total = sum(weights)
    if len({point.batch_size for point in points}) < 2 or total <= 0:
        return None
    weighted = list(zip(points, weights, strict=True))
    mean_batch = sum(weight * point.batch_size for point, weight in weighted) / total
    mean_ms = sum(weight * point.latency_ms for point, weight in weighted) / total
    lever = sum(weight * (point.batch_size - mean_batch) ** 2 for point, weight in weighted)
    rise = sum(
        weight * (point.batch_size - mean_batch) * (point.latency_ms - mean_ms) for point, weight in weighted
    )
    if lever <= 0 or rise <= 0:
        return None
    slope_ms = rise / lever
    return LatencyFit(mean_ms - slope_ms * mean_batch, slope_ms)
