"""Prompts that begin alike, split so that what they share is held once. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from modeltest.api import PackQuestion

Ids = tuple[int, ...]

FEWEST_TOKENS = 8
"""A shorter beginning is not worth the number that names it."""


@dataclass(frozen=True, slots=True)
class SharedPrefixes:
    """The beginnings that prompts share, and by question which of them it has."""

    prefixes: tuple[Ids, ...]
    of: Mapping[str, int]
    """Index into `prefixes` by the id of a question; those without one are not in it."""

    def length(self, question: PackQuestion) -> int:
        """Return how many tokens of a question's prompt are shared."""
        index = self.of.get(question.id)
        return 0 if index is None else len(self.prefixes[index])


def shared_prefixes(questions: Iterable[PackQuestion]) -> SharedPrefixes:
    """Return what the prompts of each task and subject begin with in common.

    Worked examples belong to a subject, so the prompts of one begin with the same hundreds of tokens.
    """
    groups: dict[tuple[str, str], list[PackQuestion]] = {}
    for question in questions:
        groups.setdefault((question.task, question.record.subject), []).append(question)
    prefixes: dict[Ids, int] = {}
    of: dict[str, int] = {}
    for group in groups.values():
        prefix = common_beginning([question.prompt for question in group])
        if len(group) > 1 and len(prefix) >= FEWEST_TOKENS:
            index = prefixes.setdefault(prefix, len(prefixes))
            of.update((question.id, index) for question in group)
    return SharedPrefixes(tuple(prefixes), of)


def common_beginning(prompts: Sequence[Ids]) -> Ids:
    """Return the tokens that all `prompts` begin with: what the first and last of them, sorted, share."""
    first, last = min(prompts), max(prompts)
    length = next((at for at, pair in enumerate(zip(first, last, strict=False)) if pair[0] != pair[1]), None)
    return first[: min(len(first), len(last)) if length is None else length]
