"""Guessing the next tokens of a row: those that followed the same tokens earlier in it. Pure.

Answers repeat what their prompts say, and a guess costs next to nothing: a pass of a few tokens takes as long
as one of half as many, since it waits for the weights. Only the number of passes changes: a guess is kept
where the model itself says the same.

Source: prompt lookup decoding (Saxena 2023); transformers has it as `prompt_lookup_num_tokens`.
"""

from __future__ import annotations

from collections.abc import Sequence

LONGEST_CONTEXT = 3
"""Tokens that a guess is looked up by, at most; fewer where so many have not stood together before."""

LOOKED_BACK = 8192
"""Tokens of a prompt that are looked through at most, the last ones."""


class Drafts:
    """The tokens of one row, and where its newest tokens stood earlier in it."""

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
