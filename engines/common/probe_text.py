"""The text by which a loaded model is tried, as its own tokens."""

from __future__ import annotations

from typing import Any

TEXT = (
    "The sea is salt because rivers carry salt to it from the land, and the sun takes the water away again "
    "but leaves the salt where it was. In 1872 a ship of 2,300 tons set out to measure how much: it took 77 "
    "samples, and the chemist who weighed them found the same shares everywhere. "
    "海水之所以是咸的，是因为河流把盐带进了海里。\n"
    "Question: which of these is the largest?\nA. a lake\nB. a pond\nC. an ocean\nD. a well\nAnswer: C\n"
)
"""What is tried is text, since trained models say of made-up ids what they never say of text."""


def probe_ids(tokenizer: Any, vocabulary_size: int) -> tuple[int, ...]:
    """Return the tokens of the text, as the tokenizer begins one and without what it may put behind.

    A tokenizer that knows too few words of it gets ids that stride through the vocabulary.
    """
    ids = tuple(token for token in tokenizer(TEXT)["input_ids"][:-1] if token < vocabulary_size)
    if len(set(ids)) >= 16:
        return ids
    return tuple(token * 7 % vocabulary_size for token in range(1, 128))
