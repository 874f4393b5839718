"""How far values at a place are from the reference's, beside what the candidate's dtype alone does to them.

Errors are weighed so that every row and every channel counts alike: a few large channels, and the large
states of the first token, would hide all others.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from modeltest.locate.stations import Station

LEAST_FLOOR = 0.25
"""Of the dtype's unit roundoff: what is copied or exact in one order of computation is rounded in another."""

MOST = 1e6
"""A ratio counts no more than this: what is infinite or NaN says nothing of a size."""

_OF_USUAL = 0.03
"""Rows and channels smaller than this part of the usual size are weighed as if they were as large."""


@dataclass(frozen=True, slots=True)
class Slope:
    """How far a deviation goes along what one known change would do."""

    change: str
    coefficient: float
    """In units of the change; 0 for none."""

    significance: float
    """The coefficient over its standard error."""

    share: float
    """Root mean square of the part of the deviation that it explains, over that of the dtype's own error."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """What was seen at one place."""

    station: Station
    excess: float
    """Root mean square of the candidate's error over that of the same checkpoint in the same dtype."""

    slopes: tuple[Slope, ...]
    peak: float = 1.0
    """The candidate's largest single error over the twin's: what is wrong in a few values alone."""


@dataclass(slots=True)
class _Along:
    """Sums over rows of a deviation along one change."""

    products: list[Any] = field(default_factory=list)
    squares: list[Any] = field(default_factory=list)

    def slope(self, change: str, *, rows_floor: float) -> Slope:
        import torch

        products, squares = torch.cat(self.products), torch.cat(self.squares)
        total = float(squares.sum())
        if total <= 0:
            return Slope(change, 0.0, 0.0, 0.0)
        coefficient = float(products.sum()) / total
        error = float((products - coefficient * squares).square().sum().sqrt()) / total
        share = abs(coefficient) * math.sqrt(total) / math.sqrt(rows_floor) if rows_floor > 0 else 0.0
        # A coefficient without any scatter is one of a candidate that computes nothing but the change.
        significance = (
            coefficient / error if error > 0 else math.copysign(MOST, coefficient) * (coefficient != 0)
        )
        return Slope(change, _finite(coefficient), _finite(significance), _finite(share))


class Gathering:
    """Sums of one place over passes."""

    def __init__(self, station: Station) -> None:
        self._station = station
        self._of_candidate = 0.0
        self._of_twin = 0.0
        self._along: dict[str, _Along] = {}
        self._peak_of_candidate = 0.0
        self._peak_of_twin = 0.0

    def add(
        self, truth: Any, twins: Sequence[Any], candidate: Any, changes: Mapping[str, Any], unit: float
    ) -> None:
        """Add a pass: what the reference, its twin and the candidate made of the reference's values.

        `twins` are of several orders of computation, of which the one with the largest error counts; `unit`
        is the candidate's unit roundoff, 0 for whole numbers.
        """
        truth, twin, candidate = (_rows(each) for each in (truth, twins[0], candidate))
        weights = 1 / _sizes(truth)
        # What the twin is off in any order, and what it could be off at the least.
        floors = [weights * (_rows(each) - truth) for each in twins]
        floors.append(LEAST_FLOOR * unit * weights * truth)
        self._of_twin += max(float(each.square().sum()) for each in floors)
        self._peak_of_twin = max(self._peak_of_twin, *(float(each.abs().max()) for each in floors))
        # What is NaN here alone is wrong, and no number says how wrong.
        off = (weights * (candidate - truth)).nan_to_num(nan=MOST, posinf=MOST, neginf=-MOST)
        off = off.clamp(-MOST, MOST)
        self._of_candidate += float(off.square().sum())
        self._peak_of_candidate = max(self._peak_of_candidate, float(off.abs().max()))
        deviation = (weights * (candidate - twin)).nan_to_num(nan=0.0, posinf=0.0, neginf=0.0)
        for name, change in {"size": truth, **{key: _rows(each) for key, each in changes.items()}}.items():
            along = self._along.setdefault(name, _Along())
            weighed = weights * change
            along.products.append((deviation * weighed).sum(-1))
            along.squares.append(weighed.square().sum(-1))

    def evidence(self) -> Evidence:
        """Return what was seen so far."""
        excess = _ratio(math.sqrt(self._of_candidate), math.sqrt(self._of_twin))
        slopes = tuple(each.slope(name, rows_floor=self._of_twin) for name, each in self._along.items())
        peak = _ratio(self._peak_of_candidate, self._peak_of_twin)
        return Evidence(self._station, excess, slopes, peak)


def _ratio(error: float, floor: float) -> float:
    if floor > 0:
        return min(error / floor, MOST)
    return MOST if error > 0 else 1.0


def _rows(values: Any) -> Any:
    values = values.double()
    return values.reshape(-1, values.shape[-1]) if values.ndim > 1 else values.reshape(1, -1)


def _sizes(truth: Any) -> Any:
    """Return what counts as large at each value, `[rows, channels]`: itself, or what is usual there.

    Medians, because a single value is often ten thousand times as large as all others.
    """
    sizes = truth.abs()
    usual = sizes.median()
    usual = usual if float(usual) > 0 else sizes.mean()
    if float(usual) == 0:
        return truth.new_ones(truth.shape)
    rows, channels = sizes.median(-1, keepdim=True).values, sizes.median(0, keepdim=True).values
    least = usual * _OF_USUAL
    return sizes.maximum(rows.clamp(min=least) * channels.clamp(min=least) / usual)


def _finite(value: float) -> float:
    return max(-MOST, min(MOST, value)) if not math.isnan(value) else 0.0
