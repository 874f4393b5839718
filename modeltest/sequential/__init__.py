"""Tests that may stop at any time: evidence against a null as the capital of a bettor. Pure.

Every test takes values in the order they were drawn and tells its evidence as a logarithm, the largest so
far, and after how many values it was enough (`EvidencePath`). What is promised of it is an error rate at any
stopping time; docs/acceptance.md has the theorem, what is assumed, and simulations.
"""

from modeltest.sequential.betting import PAIRED, signed_betting
from modeltest.sequential.drop_test import Allocation, DropTest
from modeltest.sequential.equivalence_test import EquivalenceLimits, EquivalenceTest
from modeltest.sequential.evidence import EvidencePath, all_of, any_of
from modeltest.sequential.mean_test import MeanNull, MeanTest, Side
from modeltest.sequential.order import Window, draw_order, windows
from modeltest.sequential.rate_test import RateLimits, RateTest
from modeltest.sequential.stakes import AdaptiveStake, AlternativeStake, Betting, FixedStake
from modeltest.sequential.strata import (
    DropStrata,
    Known,
    Stratum,
    drop_strata,
    least_drop,
    margin_cut,
    stratum_of,
)

__all__ = [
    "PAIRED",
    "AdaptiveStake",
    "Allocation",
    "AlternativeStake",
    "Betting",
    "DropStrata",
    "DropTest",
    "EquivalenceLimits",
    "EquivalenceTest",
    "EvidencePath",
    "FixedStake",
    "Known",
    "MeanNull",
    "MeanTest",
    "RateLimits",
    "RateTest",
    "Side",
    "Stratum",
    "Window",
    "all_of",
    "any_of",
    "draw_order",
    "drop_strata",
    "least_drop",
    "margin_cut",
    "signed_betting",
    "stratum_of",
    "windows",
]
