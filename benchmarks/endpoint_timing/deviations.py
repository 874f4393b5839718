"""How far a client's times are from a server's own: of first tokens, of gaps, of means. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median

from modeltest.statistics import percentile

GOAL_NS = 1_000_000
GOAL_SHARE = 0.01
"""A time is as it should be within 1 ms, or within 1 % where that is more."""

GOAL = 0.99
"""The share of the times of each kind that has to be as it should."""

_NS_PER_MS = 1e6


@dataclass(frozen=True, slots=True)
class Stream:
    """One streamed answer as one side saw it, in ns: its beginning, and when each token came or went."""

    begin_ns: int
    tokens_ns: tuple[int, ...]

    @property
    def first_ns(self) -> int:
        """Time to the first token."""
        return self.tokens_ns[0] - self.begin_ns

    @property
    def gaps_ns(self) -> tuple[int, ...]:
        """Times between neighbouring tokens."""
        return tuple(later - earlier for earlier, later in pairwise(self.tokens_ns))

    @property
    def per_token_ns(self) -> float:
        """Time per token behind the first (TPOT)."""
        return (self.tokens_ns[-1] - self.tokens_ns[0]) / (len(self.tokens_ns) - 1)


@dataclass(frozen=True, slots=True)
class Deviation:
    """Absolute deviations of one kind of time."""

    count: int
    median_ms: float
    p99_ms: float | None
    """`None` where there are too few to tell."""

    max_ms: float
    within: float
    """The share that kept the goal."""


@dataclass(frozen=True, slots=True)
class Deviations:
    """All kinds of times of one number of streams."""

    streams: int
    first: Deviation
    gaps: Deviation
    per_token: Deviation


def deviations(streams: int, pairs: Sequence[tuple[Stream, Stream]]) -> Deviations:
    """Return how far the client's times are from the server's, which come first in each pair.

    Raises: ValueError when they tell of different tokens.
    """
    for server, client in pairs:
        if len(server.tokens_ns) != len(client.tokens_ns):
            raise ValueError(
                f"{len(server.tokens_ns)} tokens were sent, {len(client.tokens_ns)} have a time of arrival"
            )
    gaps = (zip(server.gaps_ns, client.gaps_ns, strict=True) for server, client in pairs)
    return Deviations(
        streams,
        deviation((server.first_ns, client.first_ns) for server, client in pairs),
        deviation(pair for each in gaps for pair in each),
        deviation((server.per_token_ns, client.per_token_ns) for server, client in pairs),
    )


def deviation(pairs: Iterable[tuple[float, float]]) -> Deviation:
    """Return what times that belong together, true and measured in ns, are apart."""
    known = list(pairs)
    apart = sorted(abs(measured - true) for true, measured in known)
    kept = sum(is_within(true, measured) for true, measured in known)
    tail = percentile(apart, 0.99)
    return Deviation(
        len(apart),
        median(apart) / _NS_PER_MS,
        None if tail is None else tail / _NS_PER_MS,
        apart[-1] / _NS_PER_MS,
        kept / len(apart),
    )


def is_within(true_ns: float, measured_ns: float) -> bool:
    """Say whether a measured time keeps the goal."""
    return abs(measured_ns - true_ns) <= max(GOAL_NS, GOAL_SHARE * true_ns)


def is_met(found: Deviations) -> bool:
    """Say whether enough times of each kind keep the goal."""
    return all(one.within >= GOAL for one in (found.first, found.gaps, found.per_token))


def table(rows: Sequence[Deviations]) -> str:
    """Return Markdown: one row per number of streams and kind of time."""
    lines = [
        "| streams | time | of | median ms | p99 ms | max ms | within 1 ms or 1 % |",
        "|---:|---|---:|---:|---:|---:|---:|",
    ]
    for row in rows:
        for name, one in (("TTFT", row.first), ("gap", row.gaps), ("TPOT", row.per_token)):
            tail = "-" if one.p99_ms is None else f"{one.p99_ms:.3f}"
            figures = f"{one.median_ms:.3f} | {tail} | {one.max_ms:.3f} | {one.within:.1%}"
            lines.append(f"| {row.streams} | {name} | {one.count} | {figures} |")
    return "\n".join(lines)
