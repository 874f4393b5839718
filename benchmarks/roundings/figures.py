"""How far two ways of asking the same questions are apart. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from random import Random
from statistics import fmean

from modeltest.compare.divergence import kl_divergence, normalized

DRAWS = 20_000
CONFIDENCE = 0.999


@dataclass(frozen=True, slots=True)
class Apart:
    """What the questions say that both ways were asked."""

    shift: float
    """The most that the log-probability of a choice differs, scaled to a sum of 1; in nats."""

    moved: float
    """The most that the distance between two choices differs. Both margins of a flip are at most so wide."""

    divergences: tuple[float, ...]
    """KL divergence of each question, in nats."""

    flips: tuple[float, ...]
    """The larger margin of each question that is answered differently."""


def apart(one: Mapping[str, Sequence[float]], other: Mapping[str, Sequence[float]]) -> Apart:
    """Return how far two ways are apart; `one` is the reference."""
    shift = moved = 0.0
    divergences, flips = [], []
    for name in sorted(set(one) & set(other)):
        p, q = normalized(one[name]), normalized(other[name])
        changes = [b - a for a, b in zip(p, q, strict=True)]
        shift = max(shift, *map(abs, changes))
        moved = max(moved, *(abs(a - b) for a, b in combinations(changes, 2)))
        divergences.append(kl_divergence(one[name], other[name]))
        if p.index(max(p)) != q.index(max(q)):
            flips.append(max(_margin(p), _margin(q)))
    return Apart(shift, moved, tuple(divergences), tuple(flips))


def mean_bound(values: Sequence[float], count: int, *, seed: int = 0) -> float:
    """Return what the mean of `count` values drawn from `values` exceeds in one case of 1000."""
    means = drawn_means(values, count, seed=seed)
    return means[int(CONFIDENCE * len(means))]


def drawn_means(values: Sequence[float], count: int, *, draws: int = DRAWS, seed: int = 0) -> list[float]:
    """Return the means of `count` values drawn from `values`, with replacement, in ascending order."""
    random = Random(seed)
    return sorted(fmean(random.choices(values, k=count)) for _ in range(draws))


def _margin(logprobs: Sequence[float]) -> float:
    best, second = sorted(logprobs, reverse=True)[:2]
    return best - second
