"""Which tokens to feed once for many rows: token sequences to a prefix forest and a schedule. Pure.

Sequences that begin alike form a tree. A shared prefix worth it becomes a node of its own: its tokens are
fed once, and every row below attends to its keys and values. The schedule lists packs: tokens fed in one
forward pass, prefixes before what builds on them, rows of a common prefix next to each other. What is shared
is found in the token ids alone; nothing is known of tasks.

Source of the tree: longest-common-prefix intervals of the sorted sequences, in one pass over them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from engines.common.token_rows import Row

MIN_PREFIX_TOKENS = 16
"""A shorter prefix is not shared: an attention call more in every layer costs about as much."""

MIN_SAVED_TOKENS = 32
"""Nor is one that saves fewer tokens over all its rows."""


@dataclass(frozen=True, slots=True)
class Segment:
    """Consecutive tokens of the tree, fed together: a shared prefix, or a row's own end.

    `start` is the position of the first token; `parent` is the node of the tokens before it. `row` is the
    index of the row that ends here, `None` for a prefix.
    """

    node: int
    parent: int | None
    start: int
    ids: tuple[int, ...]
    row: int | None


@dataclass(frozen=True, slots=True)
class Pack:
    """What one forward pass is fed. `keep`: nodes that later packs build on, after this one."""

    segments: tuple[Segment, ...]
    keep: frozenset[int]

    @property
    def tokens(self) -> int:
        """How many tokens are fed."""
        return sum(len(segment.ids) for segment in self.segments)

    @property
    def rows(self) -> tuple[int, ...]:
        """The rows that end in this pack."""
        return tuple(segment.row for segment in self.segments if segment.row is not None)


@dataclass(slots=True)
class _Prefix:
    """A shared prefix of the rows `first` to `last` of the sorted order: their first `length` tokens."""

    first: int
    last: int
    length: int
    parent: _Prefix | None = None
    nodes: list[int] = field(default_factory=list)

    @property
    def start(self) -> int:
        return self.parent.length if self.parent else 0


def plan(rows: Sequence[Row], *, max_rows: int, max_tokens: int) -> Iterator[Pack]:
    """Yield packs that feed every row once; at most `max_rows` rows end in each.

    A pack holds at most `max_tokens` tokens: longer segments are fed in pieces, each building on the one
    before. Only the positions of a row that are read are never cut apart, however many they are.
    """
    order = sorted(range(len(rows)), key=lambda index: rows[index].ids)
    shared = _worthwhile(_common_prefixes([rows[index] for index in order]))
    yield from _Schedule(rows, order, max_rows, max_tokens).packs(shared)


def _common_prefixes(rows: Sequence[Row]) -> list[_Prefix]:
    """Return every maximal common prefix of two or more neighbours among sorted rows."""
    found: list[_Prefix] = []
    open_prefixes: list[_Prefix] = []
    for index, (left, right) in enumerate(pairwise(rows)):
        length = _common_length(left, right)
        first = index
        while open_prefixes and open_prefixes[-1].length > length:
            closed = open_prefixes.pop()
            closed.last = index
            found.append(closed)
            first = closed.first
        if length and (not open_prefixes or open_prefixes[-1].length < length):
            open_prefixes.append(_Prefix(first, -1, length))
    for rest in open_prefixes:
        rest.last = len(rows) - 1
        found.append(rest)
    return found


def _common_length(left: Row, right: Row) -> int:
    limit = min(left.read_from, right.read_from)
    if left.ids[:limit] == right.ids[:limit]:
        return limit
    low, high = 0, limit
    while low < high:  # tuple comparison is fast: halve rather than walk
        middle = (low + high + 1) // 2
        low, high = (middle, high) if left.ids[:middle] == right.ids[:middle] else (low, middle - 1)
    return low


def _worthwhile(prefixes: Sequence[_Prefix]) -> list[_Prefix]:
    """Return the prefixes that pay for themselves beside those already kept around them, outermost first."""
    kept: list[_Prefix] = []
    around: list[_Prefix] = []
    for prefix in sorted(prefixes, key=lambda each: (each.first, -each.last, each.length)):
        while around and around[-1].last < prefix.first:
            around.pop()
        prefix.parent = around[-1] if around else None
        own_tokens = prefix.length - prefix.start
        saved_tokens = own_tokens * (prefix.last - prefix.first)
        if own_tokens >= MIN_PREFIX_TOKENS and saved_tokens >= MIN_SAVED_TOKENS:
            kept.append(prefix)
            around.append(prefix)
    return kept


class _Schedule:
    """Fills packs with the rows in sorted order, each preceded by the prefixes it still lacks."""

    def __init__(self, rows: Sequence[Row], order: Sequence[int], max_rows: int, max_tokens: int) -> None:
        self._rows = rows
        self._order = order
        self._max_rows = max_rows
        self._max_tokens = max_tokens
        self._next_node = 0
        self._segments: list[Segment] = []
        self._tokens = 0
        self._ended = 0

    def packs(self, shared: Sequence[_Prefix]) -> Iterator[Pack]:
        waiting = list(reversed(shared))
        around: list[_Prefix] = []
        for place, index in enumerate(self._order):
            while around and around[-1].last < place:
                around.pop()
            if self._ended == self._max_rows:
                yield self._flush(around)
            while waiting and waiting[-1].first == place:
                prefix = waiting.pop()
                parent = around[-1] if around else None
                around.append(prefix)
                ids = self._rows[index].ids[prefix.start : prefix.length]
                yield from self._feed(ids, prefix.start, parent, around, into=prefix)
            parent = around[-1] if around else None
            start = parent.length if parent else 0
            yield from self._feed(self._rows[index].ids[start:], start, parent, around, row=index)
        if self._segments:
            yield self._flush([])

    def _feed(
        self,
        ids: tuple[int, ...],
        start: int,
        parent: _Prefix | None,
        around: Sequence[_Prefix],
        *,
        into: _Prefix | None = None,
        row: int | None = None,
    ) -> Iterator[Pack]:
        """Append `ids` in pieces that fit, yielding the packs that fill up on the way."""
        before = parent.nodes[-1] if parent else None
        pieces: list[int] = []
        tail = len(self._rows[row].ids) - self._rows[row].read_from if row is not None else 1
        for offset, piece in _pieces(ids, self._max_tokens, tail):
            if self._segments and self._tokens + len(piece) > self._max_tokens:
                yield self._flush(around, pieces)
            is_last = offset + len(piece) == len(ids)
            segment = Segment(self._next_node, before, start + offset, piece, row if is_last else None)
            self._next_node += 1
            self._segments.append(segment)
            self._tokens += len(piece)
            before = segment.node
            pieces.append(segment.node)
            if into is not None:
                into.nodes.append(segment.node)
        self._ended += row is not None

    def _flush(self, around: Sequence[_Prefix], pieces: Sequence[int] = ()) -> Pack:
        keep = frozenset((*(node for prefix in around for node in prefix.nodes), *pieces))
        pack = Pack(tuple(self._segments), keep)
        self._segments, self._tokens, self._ended = [], 0, 0
        return pack


def _pieces(ids: tuple[int, ...], at_most: int, tail: int) -> Iterator[tuple[int, tuple[int, ...]]]:
    """Yield offset and tokens of pieces of `at_most` tokens, the last `tail` tokens in one piece."""
    offset = 0
    while len(ids) - offset > max(at_most, tail):
        size = min(at_most, len(ids) - offset - tail)
        yield offset, ids[offset : offset + size]
        offset += size
    yield offset, ids[offset:]
