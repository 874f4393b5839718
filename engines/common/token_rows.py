"""Rows of tokens to feed, and what to read of them for the log-probabilities of choices. Pure.

A choice whose text begins a token of its own is read behind the prompt. One that merges with the prompt's end
(`:` and ` C` are one token to some tokenizers) takes the place of the prompt's last tokens: of the
log-probability of its tokens behind what is left, that of the tokens it replaces is taken away.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from engines.common.encoding import Encoded


@dataclass(frozen=True, slots=True)
class Row:
    """One sequence to feed. The outputs from position `read_from` to the end are wanted.

    Nothing from `read_from` on is shared: those positions must be fed for the row itself.
    """

    ids: tuple[int, ...]
    read_from: int


@dataclass(frozen=True, slots=True)
class Reading:
    """Tokens whose log-probabilities, summed, are added to those of a choice, or taken away (`sign` -1).

    `first` is the position, among those that are read of the row, whose logits foretell the first token.
    """

    choice: int
    tokens: tuple[int, ...]
    first: int
    sign: int = 1


@dataclass(frozen=True, slots=True)
class ChoiceRow:
    """A row to feed and what is read of it."""

    row: Row
    readings: tuple[Reading, ...]


def choice_rows(encoded: Encoded) -> list[ChoiceRow]:
    """Return the rows that the choices of `encoded` need.

    Choices of one token each share the prompt as their row; longer ones make a row each, and so does one that
    merges with the prompt, beside the prompt's own for what is taken away.
    """
    prompt, choices = encoded.prompt_ids, encoded.choice_ids
    most = max(encoded.replaced_tokens)
    if not most:
        if all(len(ids) == 1 for ids in choices):
            readings = tuple(Reading(choice, ids, 0) for choice, ids in enumerate(choices))
            return [ChoiceRow(Row(prompt, len(prompt) - 1), readings)]
        return list(_own_rows(encoded, range(len(choices))))
    shared: list[Reading] = []
    apart: list[int] = []
    for choice, ids in enumerate(choices):
        replaced = encoded.replaced_tokens[choice]
        if replaced:
            shared.append(Reading(choice, prompt[-replaced:], most - replaced, sign=-1))
        elif len(ids) == 1:
            shared.append(Reading(choice, ids, most))
        if replaced or len(ids) > 1:
            apart.append(choice)
    of_prompt = ChoiceRow(Row(prompt, len(prompt) - 1 - most), tuple(shared))
    return [of_prompt, *_own_rows(encoded, apart)]


def _own_rows(encoded: Encoded, choices: range | list[int]) -> Iterator[ChoiceRow]:
    for choice in choices:
        ids = encoded.choice_ids[choice]
        before = encoded.prompt_ids[: len(encoded.prompt_ids) - encoded.replaced_tokens[choice]]
        yield ChoiceRow(Row(before + ids[:-1], len(before) - 1), (Reading(choice, ids, 0),))
