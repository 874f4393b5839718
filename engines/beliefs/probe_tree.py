"""The rows by which a model is tried: real text in a tree of shared prefixes, on both sides of a limit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import cycle, islice
from typing import Any

from engines.prefix_planning import Pack, Row, Segment

TEXT = (
    "The sea is salt because rivers carry salt to it from the land, and the sun takes the water away again "
    "but leaves the salt where it was. In 1872 a ship of 2,300 tons set out to measure how much: it took 77 "
    "samples, and the chemist who weighed them found the same shares everywhere. "
    "海水之所以是咸的，是因为河流把盐带进了海里。\n"
    "Question: which of these is the largest?\nA. a lake\nB. a pond\nC. an ocean\nD. a well\nAnswer: C\n"
)
"""What is tried is text, since trained models say of made-up ids what they never say of text."""

SMALLEST_LIMIT = 9
"""The limit of a trial at load: as few tokens as a tree of three levels needs."""

REPLAYED_STEPS = 4
"""How many tokens of each row are fed one by one where the cache is tried."""


@dataclass(frozen=True, slots=True)
class ProbeTree:
    """Three rows. `limit` is the number of tokens that two of them begin below and end beyond.

    Row 0 has the limit within a prefix that others do not share, row 1 in its own end, row 2 stays short:
    all of them begin alike, rows 0 and 1 go on alike up to three tokens before the limit.
    """

    limit: int
    prefixes: tuple[tuple[int, ...], ...]
    ends: tuple[tuple[int, ...], ...]

    @property
    def rows(self) -> tuple[tuple[int, ...], ...]:
        """The token ids of each row."""
        first, second, third = self.prefixes
        return (
            first + second + third + self.ends[0],
            first + second + self.ends[1],
            first + self.ends[2],
        )

    @property
    def starts(self) -> tuple[int, ...]:
        """Where the own end of each row begins."""
        return tuple(len(row) - len(end) for row, end in zip(self.rows, self.ends, strict=True))

    @property
    def replayed(self) -> tuple[tuple[int, ...], ...]:
        """The beginnings of the rows whose last tokens are fed one by one; row 1 crosses the limit so."""
        return self.rows[0], self.rows[1][: self.limit + 3], self.rows[2][: self.starts[2] + 9]

    def packs(self, rows: Sequence[tuple[int, ...]]) -> tuple[list[Row], tuple[Pack, Pack]]:
        """Return `rows`, beginnings of the tree's own, and two packs that feed them.

        The second builds on what was held of the first, and has a short row beside a long one.
        """
        first, second, third = self.prefixes
        starts = self.starts
        fed = [Row(ids, start) for ids, start in zip(rows, starts, strict=True)]
        begin = len(first)
        nodes = (
            Segment(0, None, 0, first, None),
            Segment(1, 0, begin, second, None),
            Segment(2, 1, begin + len(second), third, None),
            Segment(3, 2, starts[0], rows[0][starts[0] :], 0),
        )
        others = (
            Segment(4, 1, starts[1], rows[1][starts[1] :], 1),
            Segment(5, 0, starts[2], rows[2][starts[2] :], 2),
        )
        return fed, (Pack(nodes, frozenset((0, 1))), Pack(others, frozenset()))


def probe_tree(text_ids: Sequence[int], limit: int = SMALLEST_LIMIT) -> ProbeTree:
    """Return the rows of a trial made of the tokens of a text, which is repeated as often as it takes."""
    text = tuple(islice(cycle(text_ids), limit + 64))
    first, second, third = text[:4], text[4 : limit - 3], text[limit - 3 : limit + 2]
    following = text[limit + 2 : limit + 9]
    # Ends that differ from what others have at the same place: else the rows were one.
    return ProbeTree(
        limit,
        (first, second, third),
        (following, _other(text, third[0], 12, limit + 11), _other(text, text[4], 14, limit + 26)),
    )


def probe_ids(tokenizer: Any, vocabulary_size: int) -> tuple[int, ...]:
    """Return the tokens of the text, as the tokenizer begins one and without what it may put behind.

    A tokenizer that knows too few words of it gets ids that stride through the vocabulary.
    """
    ids = tuple(token for token in tokenizer(TEXT)["input_ids"][:-1] if token < vocabulary_size)
    if len(set(ids)) >= 16:
        return ids
    return tuple(token * 7 % vocabulary_size for token in range(1, 128))


def _other(text: Sequence[int], than: int, length: int, begin: int) -> tuple[int, ...]:
    """Return `length` tokens of `text` from about `begin` on, the first another one than `than`."""
    while text[begin] == than:
        begin += 1
    return tuple(text[begin : begin + length])
