"""What rounding does to answers and the log-probabilities of choices, by the dtype that was computed in."""

from __future__ import annotations

from dataclasses import dataclass

from modeltest.api import RunResult


@dataclass(frozen=True, slots=True)
class Resolution:
    """How far two right ways of computing may be apart; docs/rounding.md says what was measured."""

    near_tie: float
    """Up to this margin rounding may decide between two choices; in nats."""

    mean_kl: float
    """The most that the distributions over the choices may be apart, mean over the questions; in nats."""

    flips: float
    """The share of the questions that may be answered differently where margins are not known."""


RESOLUTIONS = {
    "float32": Resolution(1e-3, 1e-7, 0.05),
    "float16": Resolution(0.05, 1e-4, 0.05),
    "bfloat16": Resolution(0.3, 5e-3, 0.15),
}
COARSEST = Resolution(1.0, 5e-2, 0.15)
"""Of quantised weights, and of a dtype that is not known."""


def resolution_of(*runs: RunResult) -> Resolution:
    """Return what rounding may do to the coarsest of `runs`."""
    return max(map(_resolution, runs), key=lambda each: each.near_tie, default=COARSEST)


def _resolution(run: RunResult) -> Resolution:
    dtype = run.engine.dtype if run.engine else run.spec.dtype or run.model.dtype
    if run.model.quantize or dtype is None:
        return COARSEST
    return RESOLUTIONS.get(dtype, COARSEST)
