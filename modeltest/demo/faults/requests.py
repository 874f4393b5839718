"""Faults of what is asked and of what is made of the answer: the model itself is right."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from modeltest.api import Completion, Finish, Request, TokenPrompt

Ids = tuple[int, ...]


class Decoding(Protocol):
    """What turns token ids into text."""

    def decode(self, ids: Sequence[int]) -> str:
        """Return the text of `ids`."""


@dataclass(frozen=True, slots=True)
class Specials:
    """Special tokens of a checkpoint."""

    begin: int
    """Stands before a text, and for padding."""

    all: frozenset[int]


def _double_bos(ids: Ids, strength: float, specials: Specials) -> Ids:
    return (specials.begin,) * int(strength) + ids


def _truncated(ids: Ids, strength: float, _: Specials) -> Ids:
    return ids[int(strength) :] or ids[-1:]


def _end_lost(ids: Ids, strength: float, _: Specials) -> Ids:
    return ids[: -int(strength)] or ids[:1]


def _other_template(ids: Ids, strength: float, specials: Specials) -> Ids:
    places = [place for place, token in enumerate(ids) if token in specials.all]
    lost = frozenset(places[: math.ceil(strength * len(places))])
    return tuple(token for place, token in enumerate(ids) if place not in lost) or ids


PROMPTS: Mapping[str, Callable[[Ids, float, Specials], Ids]] = {
    "double_bos": _double_bos,
    "truncated_prompt": _truncated,
    "prompt_end_lost": _end_lost,
    "padding_seen": _double_bos,
    "other_template": _other_template,
}
"""From the ids of a prompt to those that are fed."""


def other_prompt(name: str, strength: float, ids: Ids, specials: Specials) -> Ids:
    """Return what the fault `name` feeds in place of the prompt `ids`; it is never empty."""
    return PROMPTS[name](ids, strength, specials)


def changes_prompts(name: str) -> bool:
    """Whether the fault `name` feeds other prompts."""
    return name in PROMPTS


def other_request(name: str, strength: float, request: Request, specials: Specials) -> Request:
    """Return `request` as a port with the fault `name` asks it; a prompt of text must have become ids."""
    if name == "stop_token_missed" and request.max_new_tokens:
        return replace(request, ignore_eos=True)
    if name not in PROMPTS:
        return request
    if not isinstance(request.prompt, TokenPrompt):
        raise ValueError(f"{request.id!r} is asked as text: what it becomes is to be known first")
    ids = other_prompt(name, strength, request.prompt.ids, specials)
    return replace(request, prompt=TokenPrompt(ids))


def as_ids(request: Request, read: Completion) -> Request:
    """Return `request` with the token ids that an engine, as it said, made of its texts."""
    choices = read.choice_tokens if request.choices else ()
    return replace(request, prompt=TokenPrompt(read.prompt_tokens), choices=choices)


def other_answer(
    name: str, strength: float, completion: Completion, request: Request, specials: Specials, texts: Decoding
) -> Completion:
    """Return what a port with the fault `name` makes of the answer to `request`."""
    if completion.error is not None or not completion.output_tokens or request.ignore_eos:
        return completion
    if name == "stop_token_missed":
        kept = _beyond_the_end(completion.output_tokens, int(strength), specials)
    elif name == "wrong_stop_token":
        kept = _until_full_stop(completion.output_tokens, int(strength), texts)
    else:
        return completion
    shown = [token for token in kept if token not in specials.all]
    text, is_stopped = _cut(texts.decode(shown), request.stop)
    is_short = is_stopped or len(kept) < request.max_new_tokens
    finish = Finish.STOP if is_short else Finish.LENGTH
    return replace(completion, output_tokens=kept, text=text, finish=finish)


def _beyond_the_end(tokens: Ids, more: int, specials: Specials) -> Ids:
    end = next((place for place, token in enumerate(tokens) if token in specials.all), len(tokens))
    return tokens[: end + 1 + more]


def _until_full_stop(tokens: Ids, count: int, texts: Decoding) -> Ids:
    """Return the tokens up to the one that has the full stop of this number, and that one too."""
    seen = 0
    for place, token in enumerate(tokens):
        seen += texts.decode([token]).count(".")
        if seen >= count:
            return tokens[: place + 1]
    return tokens


def _cut(text: str, stops: Sequence[str]) -> tuple[str, bool]:
    ends = [text.find(stop) for stop in stops if stop in text]
    return (text[: min(ends)], True) if ends else (text, False)


def mixed_up(name: str, strength: float, answers: Sequence[Completion]) -> Sequence[Completion]:
    """Return the answers of a batch, of which `answers_swapped` gives a share to the request beside.

    Which is drawn from the ids alone, so that a run that is repeated is mixed up alike.
    """
    if name != "answers_swapped":
        return answers
    after = list(answers)
    for place in range(0, len(after) - 1, 2):
        one, other = after[place : place + 2]
        if _draw(one.request_id) < strength and _shape(one) == _shape(other):
            after[place] = replace(other, request_id=one.request_id)
            after[place + 1] = replace(one, request_id=other.request_id)
    return after


def _draw(text: str) -> float:
    """Return a number from 0 to 1 that looks random and is always the same."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:6], "big") / 2**48


def _shape(completion: Completion) -> tuple[int, tuple[int, ...]]:
    return len(completion.choice_logprobs), tuple(map(len, completion.token_logprobs))
