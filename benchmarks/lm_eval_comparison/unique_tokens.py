"""Which tokens must be computed at least once: each shared prefix, then what is new in each question."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise
from typing import Any

Tokens = Sequence[int]


@dataclass(frozen=True, slots=True)
class UniqueTokens:
    """The distinct positions of a set of prompts, as pieces to feed.

    `prefixes` are shared by all prompts of a subject; `own[i]` is what one prompt adds to those before it.
    Together they are exactly the nodes of the prefix tree of each subject.
    """

    prompt_tokens: int
    prefixes: tuple[tuple[int, ...], ...]
    own: tuple[tuple[int, ...], ...]
    contexts: tuple[int, ...]
    """How many tokens stand before each of `own` in its prompt."""

    @property
    def count(self) -> int:
        """How many tokens have to be computed."""
        return sum(map(len, self.prefixes)) + sum(map(len, self.own))


def find_unique_tokens(prompts: Iterable[tuple[str, Tokens]]) -> UniqueTokens:
    """Return the pieces of `prompts`, each given as subject and tokens.

    Sorted prompts share with their predecessor whatever they share with any before them.
    """
    ordered = sorted((subject, tuple(tokens)) for subject, tokens in prompts)
    prefixes: list[tuple[int, ...]] = []
    own: list[tuple[int, tuple[int, ...]]] = []
    for _, group in groupby(ordered, key=lambda prompt: prompt[0]):
        rows = [tokens for _, tokens in group]
        shared = shared_length(rows[0], rows[-1]) if len(rows) > 1 else 0
        prefixes.append(rows[0][:shared])
        begins = [shared, *(shared_length(before, after) for before, after in pairwise(rows))]
        own += [(begin, row[begin:]) for begin, row in zip(begins, rows, strict=True)]
    new = [(begin, piece) for begin, piece in own if piece]
    return UniqueTokens(
        prompt_tokens=sum(len(tokens) for _, tokens in ordered),
        prefixes=tuple(filter(None, prefixes)),
        own=tuple(piece for _, piece in new),
        contexts=tuple(begin for begin, _ in new),
    )


def shared_length(one: Sequence[Any], other: Sequence[Any]) -> int:
    """Return how many leading tokens (characters) two prompts (texts) have in common."""
    for position, (left, right) in enumerate(zip(one, other, strict=False)):
        if left != right:
            return position
    return min(len(one), len(other))


def concatenate(pieces: Sequence[tuple[int, ...]], count: int) -> list[tuple[int, ...]]:
    """Return `pieces` joined `count` at a time into rows without padding."""
    return [
        tuple(token for piece in pieces[begin : begin + count] for token in piece)
        for begin in range(0, len(pieces), count)
    ]
