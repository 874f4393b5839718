"""How large a number may be that somebody types: the same for words, options and environment variables."""

from __future__ import annotations

LARGEST_COUNT = 10**9
"""Of questions, tokens, rows, trials, devices: more than any run has, and far below where C libraries, file
formats and products of two such numbers overflow."""

LONGEST_S = 10**9
"""Of time limits and budgets in seconds: thirty years."""

SMALLEST_SEED, LARGEST_SEED = -(2**63), 2**63 - 1
"""What every generator of random numbers takes that is given a seed here."""
