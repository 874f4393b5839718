"""The bets that the tests place: which rules share the capital, chosen by simulation."""

from __future__ import annotations

from modeltest.sequential.stakes import AdaptiveStake, Betting, fixed

PAIRED = Betting(
    alternative=0.0, stakes=(AdaptiveStake(100.0, 0.01), AdaptiveStake(50.0, 0.001)), weights=(0.5, 0.5)
)
"""For differences of -1, 0 and 1 between two runs, against a small drop: on a port that loses nothing.

One rule expects 1 % of answers to differ, one next to none. With 0, 0.6 and 2 % of 14,042 that differ they
need within 10 % of the questions that the best single rule needs, which had to know the share beforehand.
"""

FORESIGHT = AdaptiveStake(20.0, 0.002)
"""Foretells which stratum brings more evidence a question. It bets nothing, so no error rate rests on it."""


def signed_betting(alternative: float, largest: float) -> Betting:
    """Return bets on a mean of `alternative` of values in `-largest..largest`."""
    square = largest**2
    return Betting(
        alternative,
        stakes=(
            *fixed((0.01, 0.03, 0.1, 0.3)),
            AdaptiveStake(5.0, 0.1 * square),
            AdaptiveStake(5.0, 0.01 * square),
        ),
        weights=(0.1, 0.1, 0.15, 0.15, 0.25, 0.25),
    )
