"""Non-inferiority of accuracy with near-ties apart: fewer questions where the losses can be told from noise.

The null says: lost answers less won ones, over all questions, are `least_drop` or more. A question counts -1
where it was lost, 1 where it was won, 0 otherwise. Those of the stratum SPARE cannot be lost, so under the
null the losses of NEAR and REST alone are as many. How they are shared between the two is unknown; so the
shares are cut into cells. In each cell each stratum has a mean that it does not exceed under the null, and
the capitals of its two tests are multiplied: the strata are drawn apart, so that the product is a
supermartingale however the draws take turns. The null is excluded when every cell is. Which stratum is asked
next may depend on everything seen: it is decided before the answer.

Source: J. V. Spertus and P. B. Stark, "Sweeter than SUITE: supermartingale stratified union-intersection
tests of elections", E-Vote-ID (2022); the cells bound the minimum over all shares with few of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from math import inf

from modeltest.api import Leaning
from modeltest.sequential.betting import FORESIGHT, PAIRED
from modeltest.sequential.evidence import EvidencePath, all_of
from modeltest.sequential.mean_test import MeanNull, MeanTest
from modeltest.sequential.strata import DropStrata, Stratum

CELLS_TO_LIMIT = 20
"""Cells between no loss in REST and all of it: more cost time, fewer evidence."""

REACH = 1.5
"""From so many times the limit on, losses in REST are excluded by REST alone."""


@dataclass(frozen=True, slots=True)
class Cell:
    """One part of the null: what NEAR and REST sum up to at most; `None` if that is not limited."""

    near: int | None
    rest: int


@dataclass(frozen=True, slots=True)
class Allocation:
    """How many questions of each stratum to ask next."""

    near: int
    rest: int
    spare: int


def cells(limit: int) -> Iterator[Cell]:
    """Yield parts of the null that together are all of it: from no loss in REST to any."""
    width = max(1, limit // CELLS_TO_LIMIT)
    below = range(limit, 0, -width)  # the limit itself begins a cell: it is the one that counts without NEAR
    beyond = range(limit + width, int(REACH * limit) + width + 1, width)
    begins = sorted({0, 1, *below, *beyond})
    for begin, following in pairwise(begins):
        yield Cell(near=following - 1 - limit, rest=-begin)
    yield Cell(near=None, rest=-begins[-1])


class DropTest:
    """Advances with each question of a stratum, in that stratum's drawn order."""

    def __init__(self, strata: DropStrata, *, risk: float) -> None:
        self.strata = strata
        self.path = EvidencePath(risk)
        self.taken = dict.fromkeys(Stratum, 0)
        self.sums = dict.fromkeys(Stratum, 0)
        self._pairs = [_Pair(cell, strata, risk) for cell in cells(strata.least_drop)]
        self._note(0)

    def take(self, stratum: Stratum, value: int) -> None:
        """Take the next question of `stratum`: -1 lost, 1 won, 0 as the reference.

        Raises: ValueError for what the stratum cannot give, or has no more of.
        """
        if not -(stratum is not Stratum.SPARE) <= value <= (stratum is not Stratum.REST):
            raise ValueError(f"no question of the stratum {stratum.value!r} has the value {value}")
        if not self.remaining(stratum):
            raise ValueError(f"all questions of the stratum {stratum.value!r} were taken already")
        self.taken[stratum] += 1
        self.sums[stratum] += value
        for pair in self._pairs:
            pair.take(stratum, value)
        self._note(1)

    def remaining(self, stratum: Stratum) -> int:
        """Return how many questions of `stratum` are still to come."""
        return int(getattr(self.strata, stratum.value)) - self.taken[stratum]

    @property
    def is_certain(self) -> bool:
        """Whether the loss is so large that it fails, whatever is still to come."""
        winnable = self.remaining(Stratum.NEAR) + self.remaining(Stratum.SPARE)
        failing = self.strata.failing_drop or self.strata.least_drop
        return sum(self.sums.values()) + winnable <= -failing

    @property
    def is_impossible(self) -> bool:
        """Whether it is not, whatever is still to come."""
        losable = self.remaining(Stratum.NEAR) + self.remaining(Stratum.REST)
        return sum(self.sums.values()) - losable > -self.strata.least_drop

    @property
    def leaning(self) -> Leaning:
        """Passed once the loss is excluded; failed only where it is certain."""
        if self.is_certain:
            return Leaning.FAILED
        return Leaning.PASSED if self.path.decided_at is not None else Leaning.OPEN

    def allocate(self, count: int) -> Allocation:
        """Return from which strata to ask the next `count` questions, fewer where there are no more.

        Each goes where the weakest cell is expected to gain most, if answers differ as often as so far.
        """
        asked = dict.fromkeys(Stratum, 0)
        outlooks = [pair.foresight() for pair in self._pairs if not pair.is_excluded]
        for _ in range(count):
            left = {each: self.remaining(each) - asked[each] for each in (Stratum.NEAR, Stratum.REST)}
            chosen = _next(left, outlooks)
            if chosen is None:
                break
            asked[chosen] += 1
            for outlook in outlooks:
                outlook.log_evidence += outlook.growth[chosen]
        used = sum(asked.values())
        if not any(map(self.remaining, (Stratum.NEAR, Stratum.REST))):
            asked[Stratum.SPARE] = min(count - used, self.remaining(Stratum.SPARE))
        return Allocation(*(asked[each] for each in (Stratum.NEAR, Stratum.REST, Stratum.SPARE)))

    def _note(self, values: int) -> None:
        evidence = all_of([pair.path.log_maximum for pair in self._pairs])
        self.path.note(inf if self.is_impossible else evidence, values)


@dataclass(slots=True)
class _Foresight:
    log_evidence: float
    growth: dict[Stratum, float]


def _next(left: dict[Stratum, int], outlooks: list[_Foresight]) -> Stratum | None:
    """Return the stratum to ask next, of those with questions left."""
    open_ones = [stratum for stratum, count in left.items() if count > 0]
    if not open_ones:
        return None
    weakest = min(outlooks, key=lambda each: each.log_evidence, default=None)
    return max(open_ones, key=lambda each: (weakest.growth[each] if weakest else 0.0, left[each]))


class _Pair:
    """The tests of one cell, and the evidence of both together."""

    def __init__(self, cell: Cell, strata: DropStrata, risk: float) -> None:
        self.path = EvidencePath(risk)
        self._is_empty = (cell.near is not None and cell.near < -strata.near) or cell.rest < -strata.rest
        self._tests: dict[Stratum, MeanTest] = {}
        if strata.near and cell.near is not None and cell.near < strata.near:
            null = MeanNull(cell.near / strata.near, strata.near, -1.0, 1.0)
            self._tests[Stratum.NEAR] = MeanTest(null, PAIRED, risk=risk)
        if strata.rest and cell.rest < 0:
            null = MeanNull(cell.rest / strata.rest, strata.rest, -1.0, 0.0)
            self._tests[Stratum.REST] = MeanTest(null, PAIRED, risk=risk)
        self._note(0)

    @property
    def is_excluded(self) -> bool:
        """Whether this part of the null needs no more evidence."""
        return self.path.decided_at is not None

    def take(self, stratum: Stratum, value: int) -> None:
        """Take a question; what is excluded once stays so."""
        if stratum in self._tests and not self.is_excluded:
            self._tests[stratum].take(float(value))
            self._note(1)

    def foresight(self) -> _Foresight:
        """Return the evidence, and by how much a question of each stratum is expected to raise it."""
        growth = dict.fromkeys(Stratum, 0.0)
        for stratum, test in self._tests.items():
            if test.remaining:
                growth[stratum] = FORESIGHT.growth(test.outlook())
        return _Foresight(self.path.log_evidence, growth)

    def _note(self, values: int) -> None:
        evidence = sum(test.path.log_evidence for test in self._tests.values())
        self.path.note(inf if self._is_empty else evidence, values)
