"""What was seen of a candidate's operations, weighed anew only where a fault changes what they make.

Each operation is given the reference's values, so a fault in one layer changes few of them; of the others the
weighing would come to the same, bit for bit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from modeltest.locate.comparing import Comparison, made_of
from modeltest.locate.evidence import Evidence


@dataclass(frozen=True, slots=True)
class _First:
    """What the operations of a candidate made when it was seen first, of each prompt."""

    standards: Sequence[Any]
    made: Sequence[Mapping[str, Any]]
    evidence: Mapping[str, Evidence]


class Remembering:
    """Comparisons of candidates, those of each order of computation beside the first of them."""

    def __init__(self) -> None:
        self._first: dict[str, _First] = {}

    def evidence(self, standards: Sequence[Any], candidate: Any, order: str) -> tuple[Evidence, ...]:
        """Return what `Comparison` does, of `candidate` with these prompts, in the order of computation."""
        passes = [made_of(candidate, each.ids, each.truth) for each in standards]
        before = self._first.get(order)
        if before is not None and before.standards is not standards:
            before = None
        same = {} if before is None else _same(before, [made for made, _ in passes])
        comparison = Comparison()
        for standard, (made, stations) in zip(standards, passes, strict=True):
            changed = {name: value for name, value in made.items() if name not in same}
            comparison.add_made(standard, changed, stations)
        anew = {each.station.name: each for each in comparison.evidence()}
        names = [name for name in passes[0][0] if name in anew or name in same]
        found = {name: anew[name] if name in anew else same[name] for name in names}
        if order not in self._first:
            self._first[order] = _First(standards, [made for made, _ in passes], found)
        return tuple(found.values())


def _same(before: _First, passes: Sequence[Mapping[str, Any]]) -> dict[str, Evidence]:
    """Return the evidence of what is bit for bit as it was, in every prompt."""
    return {
        name: evidence
        for name, evidence in before.evidence.items()
        if all(
            name in made and made[name].dtype == then[name].dtype and made[name].equal(then[name])
            for made, then in zip(passes, before.made, strict=True)
        )
    }
