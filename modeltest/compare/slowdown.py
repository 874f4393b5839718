"""How often sessions that are no slower come out as far apart: Student's t on logarithms of times. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import log, log1p, sqrt
from statistics import NormalDist, fmean, median

from modeltest.api import CalibratedTolerance
from modeltest.search.student_t import t_probability

TOLERANCE_RISK = 0.01
"""How often two equal sessions differ by more than a tolerance: what a calibration makes it, and what one
without is taken for."""


@dataclass(frozen=True, slots=True)
class SessionSpread:
    """How much equal sessions differ."""

    deviation: float
    """Of the logarithms of sessions' medians."""

    freedom: int | None
    """Degrees of freedom that it is known with; `None` where it is taken for known."""


def slowdown_p_value(
    reference: Sequence[Sequence[float]],
    candidate: Sequence[Sequence[float]],
    *,
    tolerance: float,
    calibrated: CalibratedTolerance | None,
) -> float:
    """Return how often a candidate that is no slower is as far behind, one-sided.

    Each side is its sessions' trials. How much equal sessions differ is known from a calibration, or from the
    sessions themselves where a side has several of them on either hand; else it is what the tolerance says.

    Raises: ValueError for a side without a session.
    """
    before, after = ([median(trials) for trials in side] for side in (reference, candidate))
    if min(*before, *after) <= 0:
        return 1.0
    logs = [log(each) for each in before], [log(each) for each in after]
    spread = _spread(*logs, tolerance=tolerance, calibrated=calibrated)
    behind = fmean(logs[1]) - fmean(logs[0])
    error = spread.deviation * sqrt(1 / len(before) + 1 / len(after))
    if error == 0:
        return 0.0 if behind > 0 else 1.0
    if spread.freedom is None:
        return NormalDist().cdf(-behind / error)
    return t_probability(-behind / error, spread.freedom)


def _spread(
    before: Sequence[float],
    after: Sequence[float],
    *,
    tolerance: float,
    calibrated: CalibratedTolerance | None,
) -> SessionSpread:
    if calibrated is not None:
        return SessionSpread(calibrated.session_cv, calibrated.sessions - 1)
    if min(len(before), len(after)) > 1:
        squares = sum((each - fmean(side)) ** 2 for side in (before, after) for each in side)
        freedom = len(before) + len(after) - 2
        return SessionSpread(sqrt(squares / freedom), freedom)
    return SessionSpread(log1p(tolerance) / (sqrt(2) * NormalDist().inv_cdf(1 - TOLERANCE_RISK)), None)
