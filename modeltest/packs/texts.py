"""Which pieces of the prompts are told token by token. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from hashlib import sha256

from modeltest.api import PackQuestion, PackText
from modeltest.packs.prefixes import Ids, shared_prefixes

CONTEXT_TOKENS = 16
TOLD_TOKENS = 48
IN_PLACE_EVERY = 4
"""Of so many texts, one stands where it is in its prompt, behind all that comes before it: what is wrong only
far from the beginning is seen there. The others cost a quarter of a question."""


def chosen_texts(
    questions: Sequence[PackQuestion], count: int, *, seed: int, special_ids: Collection[int]
) -> list[PackText]:
    """Return at most `count` texts, spread over the questions; fewer where the prompts have no more.

    A text is a piece of 64 tokens of a prompt: 16 of context, 48 that are told. No piece is there twice, so
    worked examples that many prompts share are told once. Where all prompts begin with one special token,
    models expect it there: it stands before each context.
    """
    begin = _common_special(questions, special_ids)
    pieces = dict(_pieces(questions))
    order = sorted(pieces, key=lambda piece: sha256(f"{seed} {pieces[piece]}".encode()).hexdigest())
    drawn = sorted(order[:count], key=lambda piece: pieces[piece])
    by_id = {question.id: question.prompt for question in questions}
    return [
        _text(number, piece, by_id[pieces[piece][0]], pieces[piece][1], begin)
        for number, piece in enumerate(drawn)
    ]


def _pieces(questions: Sequence[PackQuestion]) -> Iterator[tuple[Ids, tuple[str, int]]]:
    """Yield pieces of prompts, each with the question and the place it is first found at.

    What a prompt shares with others is cut by itself, so that it is cut alike in all of them.
    """
    shared = shared_prefixes(questions)
    size = CONTEXT_TOKENS + TOLD_TOKENS
    found: set[Ids] = set()
    for question in questions:
        own = shared.length(question)
        for begin, end in ((0, own), (own, len(question.prompt))):
            for at in range(begin, end - size + 1, size):
                piece = question.prompt[at : at + size]
                if piece not in found:
                    found.add(piece)
                    yield piece, (question.id, at)


def _text(number: int, piece: Ids, prompt: Ids, at: int, begin: Ids) -> PackText:
    context, ids = piece[:CONTEXT_TOKENS], piece[CONTEXT_TOKENS:]
    if number % IN_PLACE_EVERY == 0:
        context = prompt[: at + CONTEXT_TOKENS]
    elif at:
        context = begin + context
    return PackText(f"text/{number}", context, ids)


def _common_special(questions: Sequence[PackQuestion], special_ids: Collection[int]) -> Ids:
    firsts = {question.prompt[:1] for question in questions}
    first = firsts.pop() if len(firsts) == 1 else ()
    return first if first and first[0] in special_ids else ()
