"""Dividing questions among replicas of a model: shards of about equal work. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate, pairwise

from engines.common.encoding import Encoded


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
