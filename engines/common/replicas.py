"""Replicas of a model: questions dealt out by about equal work, and counts put together. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from itertools import accumulate, pairwise
from typing import Any

from engines.common.encoding import Encoded
from modeltest.api import EngineUsage


def shares(encoded: Sequence[Encoded], count: int) -> list[list[Encoded]]:
    """Return `count` shares of about as many tokens to compute, each a run of the sorted prompts.

    What two neighbours have in common is computed once as long as they stay together. So a cut is made where
    the tokens off balance and those computed twice are together fewest: groups of a few questions stay
    whole, and a long common prefix is worth computing twice.
    """
    ordered = sorted(encoded, key=lambda one: one.prompt_ids)
    common = [0, *(_common(left.prompt_ids, right.prompt_ids) for left, right in pairwise(ordered))]
    own = [_tokens(one) - shared for one, shared in zip(ordered, common, strict=True)]
    before = [0, *accumulate(own)]
    cuts = [0]
    for number in range(1, count):
        wanted = before[-1] * number / count
        places = range(cuts[-1], len(ordered) + 1)
        cuts.append(
            min(places, key=lambda at: abs(before[at] - wanted) + (common[at] if at < len(common) else 0))
        )
    return [list(ordered[begin:end]) for begin, end in pairwise([*cuts, len(ordered)])]


def usage_together(counted: Sequence[EngineUsage], all_ranks: Sequence[EngineUsage]) -> EngineUsage:
    """Return the sum of what is `counted`, and the highest peak of all ranks.

    What one of them does not know is unknown.
    """
    values: dict[str, Any] = {}
    for field in fields(EngineUsage):
        known = [getattr(usage, field.name) for usage in counted]
        # Replicas compute at the same time: the time is that of the busiest.
        combine = max if field.name == "forward_s" else sum
        values[field.name] = None if None in known else combine(known)
    peak = highest([usage.peak_memory_bytes for usage in all_ranks])
    return EngineUsage(**{**values, "peak_memory_bytes": peak})


def highest(peaks: Sequence[int | None]) -> int | None:
    """Return the highest of what ranks needed; `None` if one does not know its own."""
    known = [peak for peak in peaks if peak is not None]
    return max(known) if len(known) == len(peaks) else None


def _tokens(one: Encoded) -> int:
    """Return what the request costs at least: its prompt, the tokens of longer choices and of an answer."""
    longer = sum(len(ids) - 1 for ids in one.choice_ids)
    return len(one.prompt_ids) + longer + one.request.max_new_tokens


def _common(left: tuple[int, ...], right: tuple[int, ...]) -> int:
    low, high = 0, min(len(left), len(right))
    while low < high:  # comparing tuples is fast: halve rather than walk
        middle = (low + high + 1) // 2
        low, high = (middle, high) if left[:middle] == right[:middle] else (low, middle - 1)
    return low
