"""What rounding does to the log-probability of a choice, by the dtype that was computed in."""

from __future__ import annotations

from dataclasses import dataclass

from modeltest.api import RunResult


@dataclass(frozen=True, slots=True)
class Resolution:
    """How far two right ways of computing may be apart, in nats; docs/rounding.md says what was measured."""

    near_tie: float
    """Up to this margin rounding may decide between two choices."""

    mean_kl: float
    """The most that the distributions over the choices may be apart, mean over the questions."""


RESOLUTIONS = {
    "float32": Resolution(1e-3, 1e-5),
    "float16": Resolution(0.05, 1e-3),
    "bfloat16": Resolution(0.3, 1e-2),
}
COARSEST = Resolution(0.5, 5e-2)
"""Of quantised weights, and of a dtype that is not known."""


def resolution_of(*runs: RunResult) -> Resolution:
    """Return what rounding may do to the coarsest of `runs`."""
    return max(map(_resolution, runs), key=lambda each: each.near_tie, default=COARSEST)


def _resolution(run: RunResult) -> Resolution:
    dtype = run.engine.dtype if run.engine else run.spec.dtype or run.model.dtype
    if run.model.quantize or dtype is None:
        return COARSEST
    return RESOLUTIONS.get(dtype, COARSEST)
