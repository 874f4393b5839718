"""Which questions a pack also has as text, so that a tokenizer and a template are tried by them. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from math import ceil

from modeltest.api import ChatPrompt, PackQuestion, PackWording, Request, TextPrompt

WORDINGS = 24
"""Of a pack: a wrong template or a second token at the begin shows in every prompt, so few are enough."""


def chosen_wordings(
    asked: Sequence[Sequence[tuple[PackQuestion, Request]]], *, count: int = WORDINGS, seed: int
) -> list[PackWording]:
    """Return at most `count` questions as text, as many of each task.

    `asked` are those of each task that the reference read whole, each with its request. The longest prompt of
    a task is always there, since what is cut off is cut off there first.
    """
    each = ceil(count / len(asked)) if asked else 0
    return [
        wording
        for pairs in asked
        for wording in [_wording(*pair) for pair in _drawn(pairs, min(each, count), seed)]
    ][:count]


def _drawn(
    pairs: Sequence[tuple[PackQuestion, Request]], count: int, seed: int
) -> list[tuple[PackQuestion, Request]]:
    able = [pair for pair in pairs if _is_text(pair[1])]
    if not able:
        return []
    longest = max(able, key=lambda pair: len(pair[0].prompt))
    others = [pair for pair in able if pair is not longest]
    others.sort(key=lambda pair: sha256(f"{seed} {pair[0].id}".encode()).hexdigest())
    return [longest, *others][:count]


def _is_text(request: Request) -> bool:
    is_worded = isinstance(request.prompt, (TextPrompt, ChatPrompt))
    return is_worded and all(isinstance(choice, str) for choice in request.choices)


def _wording(question: PackQuestion, request: Request) -> PackWording:
    prompt = request.prompt
    return PackWording(
        question.id,
        text=prompt.text if isinstance(prompt, TextPrompt) else None,
        turns=prompt.turns if isinstance(prompt, ChatPrompt) else (),
        choices=tuple(choice for choice in request.choices if isinstance(choice, str)),
        choice_rule=request.choice_rule,
    )
