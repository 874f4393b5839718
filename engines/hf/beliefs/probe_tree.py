"""The rows by which a model is tried: real text in a tree of shared prefixes, on both sides of a limit."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import cycle, islice

from engines.common.token_rows import Row
from engines.hf.packed.prefix_planning import Pack, Segment

SMALLEST_LIMIT = 12
"""The limit of a trial at load. A pass of fewer tokens would hardly be faster, and show less."""

REPLAYED_STEPS = 3
"""How many tokens of a row are fed one by one where the cache is tried."""

_COMMON = 4
"""Tokens of the prefix of all rows: a block of the paged cache that is tried."""

_SHORT_REPLAYED = 2 * _COMMON + 1
"""Tokens of row 2 where its last are fed one by one: the very last begins a block."""

_PAST = REPLAYED_STEPS + 1
"""Tokens of row 0 behind its prefixes: those fed one by one, and one before them."""


@dataclass(frozen=True, slots=True)
class ProbeTree:
    """Three rows that begin alike. `limit` is a number of tokens that two of them go beyond.

    Row 0 does so within a prefix of its own, which is longer than the limit by itself, row 1 within its end,
    which is longer too: a window of attention cuts something off in either. Row 2 stays short.
    """

    limit: int
    prefixes: tuple[tuple[int, ...], tuple[int, ...]]
    ends: tuple[tuple[int, ...], ...]

    @property
    def rows(self) -> tuple[tuple[int, ...], ...]:
        """The token ids of each row."""
        first, second = self.prefixes
        return (first + second + self.ends[0], first + self.ends[1], first + self.ends[2])

    @property
    def starts(self) -> tuple[int, ...]:
        """Where the own end of each row begins."""
        return tuple(len(row) - len(end) for row, end in zip(self.rows, self.ends, strict=True))

    @property
    def replayed(self) -> tuple[tuple[int, ...], ...]:
        """The beginnings of the rows whose last tokens are fed one by one; row 1 crosses the limit so."""
        return self.rows[0], self.rows[1][: self.limit + REPLAYED_STEPS], self.rows[2][:_SHORT_REPLAYED]

    def packs(self, rows: Sequence[tuple[int, ...]]) -> tuple[list[Row], tuple[Pack, Pack]]:
        """Return `rows`, beginnings of the tree's own, and two packs that feed them.

        The first has both prefixes and a row on the shorter; the second builds on what was held of them, and
        has a short row beside a long one.
        """
        first, second = self.prefixes
        starts = self.starts
        fed = [Row(ids, start) for ids, start in zip(rows, starts, strict=True)]
        ends = [ids[start:] for ids, start in zip(rows, starts, strict=True)]
        prefixes = (Segment(0, None, 0, first, None), Segment(1, 0, len(first), second, None))
        held = frozenset((0, 1))
        return fed, (
            Pack((*prefixes, Segment(2, 0, starts[1], ends[1], 1)), held),
            Pack((Segment(3, 1, starts[0], ends[0], 0), Segment(4, 0, starts[2], ends[2], 2)), frozenset()),
        )


def probe_tree(text_ids: Sequence[int], limit: int = SMALLEST_LIMIT) -> ProbeTree:
    """Return the rows of a trial made of the tokens of a text, which is repeated as often as it takes."""
    text = tuple(islice(cycle(text_ids), 2 * limit + 80))
    own = _COMMON + limit + 2  # where the prefix of row 0 alone ends
    first, second = text[:_COMMON], text[_COMMON:own]
    # Ends that differ from what others have at the same place: else the rows were one.
    return ProbeTree(
        limit,
        (first, second),
        (
            text[own : own + _PAST],
            _other(text, {second[0]}, limit + 2 + _PAST, own + _PAST + 2),
            _other(text, {second[0], text[own + _PAST + 2]}, SMALLEST_LIMIT + 2 + _PAST, limit + 25),
        ),
    )


def _other(text: Sequence[int], than: Collection[int], length: int, begin: int) -> tuple[int, ...]:
    """Return `length` tokens of `text` from about `begin` on, the first another one than `than`."""
    while text[begin] in than:
        begin += 1
    return tuple(text[begin : begin + length])
