"""Whether a server's logits were rounded to 16 bits, seen by their differences. Pure.

A log-probability is a logit minus one number for all tokens of its place. So the differences between tokens
are those of their logits, and logits in bfloat16 or float16 are multiples of a power of two: of 0.125 between
16 and 32 in bfloat16. Logits in float32 have no such step. What came before the logits shows in neither.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

FINEST_STEP = 2.0**-9
"""Of float16 between 2 and 4; likeliest tokens of a model are seldom below that."""

_COARSEST_STEP = 2.0**3
_ROUNDED_BY_SERVER = 1e-4
"""Servers write four to seven digits, and log-probabilities themselves are float32."""

_ENOUGH = 24
"""Differences that all lie on one step by chance less than once in 10**20."""


def differences(places: Sequence[Mapping[int, float]]) -> list[float]:
    """Return how far the tokens of each place are below its likeliest, in nats; without those as likely."""
    return [
        max(place.values()) - logprob
        for place in places
        if place
        for logprob in place.values()
        if -math.inf < logprob < max(place.values())
    ]


def common_step(found: Sequence[float]) -> float | None:
    """Return the largest power of two that all of `found` are multiples of; `None` where there is none.

    Raises: ValueError for so few that a step would say nothing.
    """
    if len(found) < _ENOUGH:
        raise ValueError(f"{len(found)} differences of log-probabilities, {_ENOUGH} are needed")
    step = _COARSEST_STEP
    while step >= FINEST_STEP:
        if all(abs(each - step * round(each / step)) <= _ROUNDED_BY_SERVER for each in found):
            return step
        step /= 2
    return None
