"""Pairs of context and continuation to requests: continuations of one context are choices of one request."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from modeltest.api import Completion, Prompt, Request, TokenPrompt

Continuation = str | tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Pair:
    """A continuation whose log-probability after `prompt` is wanted."""

    prompt: Prompt
    continuation: Continuation


@dataclass(frozen=True, slots=True)
class Likelihood:
    """The log-probability of a continuation, and whether greedy decoding would have said it."""

    logprob: float
    is_greedy: bool


@dataclass(frozen=True, slots=True)
class Grouped:
    """Requests in the order their contexts first appeared, and where to find the answer to each pair."""

    requests: Sequence[Request]
    places: Sequence[tuple[str, int]]
    """By pair: the id of its request and the index of its choice."""


def group(pairs: Sequence[Pair]) -> Grouped:
    """Make one request per different text, with each different continuation once among its choices.

    Pairs of token ids stay apart: whole documents share no more than the token that begins them all, and
    as choices of one request they would have to be held in memory together.
    """
    known: dict[Prompt | Pair, str] = {}
    prompts: dict[str, Prompt] = {}
    choices: dict[str, dict[Continuation, int]] = {}
    places = []
    for pair in pairs:
        shared = pair if isinstance(pair.prompt, TokenPrompt) else pair.prompt
        request_id = known.setdefault(shared, str(len(known)))
        prompts[request_id] = pair.prompt
        indices = choices.setdefault(request_id, {})
        places.append((request_id, indices.setdefault(pair.continuation, len(indices))))
    requests = [Request(one, prompts[one], choices=tuple(indices)) for one, indices in choices.items()]
    return Grouped(requests, places)


def asked_alone(requests: Sequence[Request], completions: Mapping[str, Completion]) -> list[Request]:
    """Return one request per choice for contexts that were cut for the sake of another, longer choice.

    An engine cuts a context that is too long once, for the longest of its choices. lm-evaluation-harness
    cuts it for each continuation, so that a shorter one keeps more of it.
    """
    return [
        single
        for request in requests
        if _was_cut_unevenly(completions.get(request.id))
        for single in _singles(request)
    ]


def likelihoods(
    places: Sequence[tuple[str, int]], completions: Mapping[str, Completion]
) -> Iterator[Likelihood]:
    """Yield the answer to each pair; one that was asked alone has it from there."""
    for request_id, index in places:
        alone = completions.get(_id_of_single(request_id, index))
        completion, at = (completions[request_id], index) if alone is None else (alone, 0)
        yield Likelihood(completion.choice_logprobs[at], completion.choice_is_greedy[at])


def token_pair(context: Sequence[int], continuation: Sequence[int]) -> Pair:
    """Return a pair of token ids."""
    return Pair(TokenPrompt(tuple(context)), tuple(continuation))


def _was_cut_unevenly(completion: Completion | None) -> bool:
    if completion is None or completion.error is not None or not completion.cut_prompt_tokens:
        return False
    return len({len(tokens) for tokens in completion.choice_tokens}) > 1


def _singles(request: Request) -> Iterator[Request]:
    for index, choice in enumerate(request.choices):
        yield Request(_id_of_single(request.id, index), request.prompt, choices=(choice,))


def _id_of_single(request_id: str, index: int) -> str:
    return f"{request_id}/{index}"
