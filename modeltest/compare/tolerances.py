"""What a candidate may differ by: the defaults of `modeltest compare`, and where they come from."""

from __future__ import annotations

from dataclasses import dataclass

from modeltest.api import CalibratedTolerance, Calibration
from modeltest.shifts.answers import MAX_DROP

CONFIDENCE = 0.95
ALARMS_PER_YEAR = 1.0
COMPARISONS_PER_YEAR = 3650.0
"""Ten models a night."""

MAX_WIDE_FLIPS = 0.01
"""Of the answers that differ with a wide margin. Where margins are not known, as of generated answers, all
that differ count, and rounding is allowed for: `modeltest.rounding.Resolution.flips`."""

MOST_UNANSWERED = 0.5
"""Where neither run answers a larger share of the questions, equal accuracy says nothing of the model."""

RELATIVE_TOLERANCE = 0.05
MAX_BATCH_TOLERANCE = 0.05

FLOORS = {"ttft_ms": 1.0, "tpot_ms": 0.1, "e2e_s": 0.01}
"""The metrics that are judged, and the least difference of each that counts, in its unit."""


@dataclass(frozen=True, slots=True)
class Tolerances:
    """What is asked of the candidate. `None`: the default that suits the runs."""

    max_drop: float | None = None
    max_flips: float | None = None
    max_kl: float | None = None
    near_tie: float | None = None
    min_identical: float | None = None
    latency: float | None = None
    max_batch: float = MAX_BATCH_TOLERANCE
    confidence: float = CONFIDENCE
    calibration: Calibration | None = None
    alarms_per_year: float = ALARMS_PER_YEAR
    """How many comparisons of things that are no worse may say REJECT in a year."""

    comparisons_per_year: float = COMPARISONS_PER_YEAR

    @property
    def risk(self) -> float:
        """How often a gate may pass what is at its limit."""
        return 1 - self.confidence

    @property
    def false_alarms(self) -> float:
        """How often one comparison may say REJECT of what is no worse, by all its gates together."""
        return self.alarms_per_year / self.comparisons_per_year if self.comparisons_per_year else 1.0

    @property
    def allowed_drop(self) -> float:
        """What accuracy may drop by where no twin says what rounding does."""
        return MAX_DROP if self.max_drop is None else self.max_drop

    def calibrated(self, case: object, batch_size: int, metric: str) -> CalibratedTolerance | None:
        """Return what was calibrated for this case and metric; else the widest of the metric's cases."""
        if self.calibration is None:
            return None
        of_metric = [each for each in self.calibration.tolerances if each.metric == metric]
        same = [each for each in of_metric if (each.case, each.batch_size) == (case, batch_size)]
        return max(same or of_metric, key=lambda each: each.tolerance, default=None)
