"""Which layer departs, from checkpoints that end behind the first layers; pure.

A cut of k is the first k layers with the final norm and the head. Where a layer computes something else, so
does every cut that has it, though later layers may hide it in their own rounding. So cuts are bisected for a
layer behind which there is a departure, and before which there is none: both are asked.
"""

from __future__ import annotations

import math
from collections.abc import Generator, Sequence
from dataclasses import dataclass

MOST_EXCESS = 1.15
"""Mean errors this many times the twins' are no other order of computation: measured, those reach 1.06."""

SURE = 1.5
"""A departure that small may be one of an earlier layer, hidden in between: cuts before it are asked too."""

LEAST_FLOOR = 2e-5
"""Nats. In float32 log-probabilities of sound engines differ by some 5e-6 by how their sum is computed."""

NEARER = 0.5
"""Of the error behind the layers asked for: one that small behind others says that these are served."""

LARGEST = 20.0
"""Nats: what is further away counts no more, and what is NaN or infinite as much."""


@dataclass(frozen=True, slots=True)
class CutEvidence:
    """What was seen of the first `layers` layers."""

    layers: int
    excess: float
    """Mean absolute error of the candidate's log-probabilities over that of the twins."""

    floor: float
    """That of the twins, in nats."""

    observations: int

    @property
    def departs(self) -> bool:
        """Whether the candidate is further from the reference than another order of computation is."""
        return self.excess >= MOST_EXCESS


@dataclass(frozen=True, slots=True)
class Bisected:
    """What a bisection came to."""

    layer: int | None
    """From 0; `None` where no cut departs. 0 stands also for what every cut has: embedding, norm, head."""

    cuts: tuple[CutEvidence, ...]
    """In the order asked."""

    layers: int


def weighed(
    layers: int,
    reference: Sequence[float],
    twins: Sequence[Sequence[float]],
    candidate: Sequence[float],
) -> CutEvidence:
    """Return how far `candidate` is from `reference`, beside `twins` of several orders of computation.

    All are log-probabilities of the same tokens in nats; of the twins the one furthest away counts.

    Raises: ValueError where their numbers differ, or there is none.
    """
    if not reference or not twins or {len(reference)} != {len(candidate), *map(len, twins)}:
        raise ValueError("reference, twins and candidate must have told the same tokens, one at the least")
    floor = max(LEAST_FLOOR, *(mean_error(reference, each) for each in twins))
    return CutEvidence(layers, mean_error(reference, candidate) / floor, floor, len(reference))


def bisection(layers: int) -> Generator[int, CutEvidence, Bisected]:
    """Yield how many layers to cut behind; each `yield` evaluates to what was seen there.

    The whole model comes first. Where it does not depart, its quarters and then its eighths are asked too,
    since rounding grows with the layers and may hide what an early one does. For the same reason a small
    departure is taken for the first only where quarters of what is before it do not depart.
    """
    return (yield from _Search(layers).carry_out())


class _Search:
    """What was asked so far, and what to ask next."""

    def __init__(self, layers: int) -> None:
        self._layers = layers
        self._seen: dict[int, CutEvidence] = {}

    def carry_out(self) -> Generator[int, CutEvidence, Bisected]:
        off = yield from self._first_off(_spread(self._layers, (8, 4, 6, 2, 7, 5, 3, 1)))
        while off is not None:
            fine, off = yield from self._bracketed(off)
            if self._seen[off].excess >= SURE:
                break
            earlier = yield from self._first_off(_spread(fine, (4, 6, 2)))
            if earlier is None:
                break
            off = earlier
        return Bisected(None if off is None else off - 1, tuple(self._seen.values()), self._layers)

    def _bracketed(self, off: int) -> Generator[int, CutEvidence, tuple[int, int]]:
        """Return two neighbours, of which the second departs and the first does not, up to `off`."""
        fine = max((cut for cut, each in self._seen.items() if cut < off and not each.departs), default=0)
        while off - fine > 1:
            middle = (fine + off) // 2
            if (yield from self._asked(middle)):
                off = middle
            else:
                fine = middle
        return fine, off

    def _first_off(self, cuts: Sequence[int]) -> Generator[int, CutEvidence, int | None]:
        for cut in cuts:
            if (yield from self._asked(cut)):
                return cut
        return None

    def _asked(self, cut: int) -> Generator[int, CutEvidence, bool]:
        if cut not in self._seen:
            self._seen[cut] = yield cut
        return self._seen[cut].departs


def most_cuts(layers: int) -> int:
    """Return how many cuts a bisection of a departure of the whole model asks for, at most."""
    return 1 + math.ceil(math.log2(layers)) if layers > 1 else 1


def _spread(layers: int, eighths: Sequence[int]) -> list[int]:
    """Return cuts at these eighths of `layers`."""
    return list(dict.fromkeys(cut for cut in (layers * part // 8 for part in eighths) if cut >= 1))


def served_instead(cut: int, behind: Sequence[Sequence[float]], told: Sequence[float]) -> int | None:
    """Return how many first layers a server has in place of `cut`; `None` where nothing says that it has.

    `behind` are the reference's log-probabilities behind each number of layers from 1 on. A port that is
    broken is far from all of them; one that has other layers is near to these.
    """
    errors = [mean_error(each, told) for each in behind]
    nearest = min(range(len(errors)), key=errors.__getitem__)
    return nearest + 1 if errors[nearest] < NEARER * errors[cut - 1] else None


def mean_error(reference: Sequence[float], other: Sequence[float]) -> float:
    """Return the mean absolute difference in nats, each at most `LARGEST`."""
    return math.fsum(map(_error, reference, other)) / len(reference)


def _error(right: float, told: float) -> float:
    error = abs(told - right)
    return min(error, LARGEST) if not math.isnan(error) else LARGEST
