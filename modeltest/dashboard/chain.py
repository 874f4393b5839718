"""Which earlier run each run of a history is compared with, number by number. Pure.

The first run is the reference of all after it, until one is better beyond doubt, is accepted, or cannot be
compared with it: that one is the reference from then on. So a number that gets worse in many small steps is
marked like one that does at once, and stays marked until it is as good as before. Runs whose verdict is
INVALID are neither compared nor a reference, and the first that is VALID takes the place of one that is not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace

from modeltest.api import UNCOMPARED, Compared, Mark


@dataclass(frozen=True, slots=True)
class Link:
    """One run of a series: its key, and whether its number may be used."""

    run: int
    is_usable: bool = True
    is_valid: bool = True
    """Whether verdicts may rest on it; one that is NOISY is a reference only until one is VALID."""

    is_accepted: bool = False
    """Whether it is the reference of what follows, whatever it is beside what was before."""


Compare = Callable[[int, int], Compared]
"""Takes the reference's key and the candidate's."""


def compare_chain(links: Iterable[Link], compare: Compare) -> Iterator[Compared]:
    """Yield what each run of a series is beside its reference, oldest first."""
    reference: int | None = None
    has_valid_reference = False
    for link in links:
        if not link.is_usable:
            yield UNCOMPARED
            continue
        if reference is None:
            found = UNCOMPARED
        else:
            found = replace(compare(reference, link.run), reference=reference)
        is_first_valid = link.is_valid and not has_valid_reference
        if link.is_accepted or is_first_valid or found.mark in (Mark.IMPROVEMENT, Mark.UNCOMPARED):
            reference, has_valid_reference = link.run, link.is_valid
        yield found
