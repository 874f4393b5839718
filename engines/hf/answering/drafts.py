"""Guessing how a row goes on by what it said before: from text to the tokens after it. Pure.

Answers repeat what their prompts say, and a guess costs next to nothing: a pass of a few tokens takes as long
as one of half as many, since it waits for the weights. It changes nothing but the number of passes: the model
says itself how the row goes on.

Source: prompt lookup decoding (Saxena 2023); transformers has it as `prompt_lookup_num_tokens`.
"""

from __future__ import annotations

from collections.abc import Sequence

LONGEST_CONTEXT = 3
"""Tokens that a guess is looked up by at most; with fewer where so many were never seen."""

LOOKED_BACK = 8192
"""Tokens of a prompt that are looked through at most, the last ones."""


class Drafts:
    """The tokens of one row, and where what was last said had been said before."""

    def __init__(self, ids: Sequence[int]) -> None:
        self._ids = list(ids[-LOOKED_BACK:])
        self._followed: dict[tuple[int, ...], int] = {}
        """Where the token stands that last came after some others."""

        self._looked_through = 0

    def extend(self, ids: Sequence[int]) -> None:
        """Take in further tokens of the row."""
        self._ids += ids

    def guess(self, count: int) -> list[int]:
        """Return `count` tokens that may come next; repeats of the newest where nothing is known."""
        if not count:
            return []  # of many rows in flight nothing is ever guessed, and nothing looked through
        for place in range(self._looked_through, len(self._ids)):
            for length in range(1, min(LONGEST_CONTEXT, place) + 1):
                self._followed[tuple(self._ids[place - length : place])] = place
        self._looked_through = len(self._ids)
        for length in range(min(LONGEST_CONTEXT, len(self._ids)), 0, -1):
            found_at = self._followed.get(tuple(self._ids[-length:]))
            if found_at is not None:
                found = self._ids[found_at : found_at + count]
                return found + [self._ids[-1]] * (count - len(found))
        return [self._ids[-1]] * count
