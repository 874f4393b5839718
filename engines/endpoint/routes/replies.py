"""The JSON of completions and chats as values; whatever is not as OpenAI's interface has it is told. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from engines.endpoint.routes.values import as_count, as_ids, is_logprob

THOUGHTS = ("reasoning_content", "reasoning")
"""Where servers put what a model thinks before it answers: most the first, vLLM 0.32 the second."""

_ID_PREFIX = "token_id:"


class ReplyError(ValueError):
    """An answer is not of the form it must have."""


@dataclass(frozen=True, slots=True)
class Usage:
    """What a server says it counted; `None` where it says nothing."""

    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    cached_tokens: int | None = None
    reasoning_tokens: int | None = None


@dataclass(frozen=True, slots=True)
class PromptToken:
    """The log-probability of a token of a prompt; `rank` 1 is the likeliest, `None` unknown."""

    logprob: float
    rank: int | None = None


@dataclass(frozen=True, slots=True)
class Reply:
    """One choice of an answer, or what a chunk of a stream adds to it."""

    has_choice: bool = True
    """Not in the last chunk of a stream, which has counts alone."""

    text: str = ""
    thoughts: str = ""
    finish: str | None = None
    token_ids: tuple[int, ...] | None = None
    prompt_ids: tuple[int, ...] | None = None
    usage: Usage = field(default_factory=Usage)
    top: tuple[Mapping[int, float], ...] = ()
    """By generated token, log-probabilities by id; empty where tokens are told by their texts."""

    sampled: tuple[int, ...] = ()
    """The generated tokens, out of the same answer."""

    prompt_logprobs: tuple[Mapping[int, PromptToken] | None, ...] = ()


def read_reply(value: Any) -> Reply:
    """Return the first choice of the answer `value`, or of a chunk; a chunk without choices has usage alone.

    Raises: ReplyError.
    """
    if not isinstance(value, dict):
        raise ReplyError("the answer is no JSON object")
    choices = value.get("choices")
    usage = read_usage(value.get("usage"))
    if not isinstance(choices, list):
        raise ReplyError("the answer has no choices")
    if not choices:
        return Reply(has_choice=False, usage=usage)
    choice = choices[0]
    if not isinstance(choice, dict):
        raise ReplyError("the answer's choice is no JSON object")
    text, thoughts = _texts(choice)
    logprobs = choice.get("logprobs")
    top, sampled = _generated_logprobs(logprobs if isinstance(logprobs, dict) else {})
    finish = choice.get("finish_reason")
    prompt_ids = choice.get("prompt_token_ids") or value.get("prompt_token_ids")
    return Reply(
        text=text,
        thoughts=thoughts,
        finish=finish if isinstance(finish, str) and finish else None,
        token_ids=as_ids(choice.get("token_ids")),
        prompt_ids=as_ids(prompt_ids),
        usage=usage,
        top=top,
        sampled=sampled,
        prompt_logprobs=_prompt_logprobs(choice.get("prompt_logprobs") or value.get("prompt_logprobs")),
    )


def read_usage(value: Any) -> Usage:
    """Return the counts of `usage`."""
    if not isinstance(value, dict):
        return Usage()
    prompt = value.get("prompt_tokens_details")
    completion = value.get("completion_tokens_details")
    reasoning = value.get("reasoning_tokens")  # SGLang
    if isinstance(completion, dict):
        reasoning = completion.get("reasoning_tokens", reasoning)
    return Usage(
        as_count(value.get("prompt_tokens")),
        as_count(value.get("completion_tokens")),
        as_count(prompt.get("cached_tokens")) if isinstance(prompt, dict) else None,
        as_count(reasoning),
    )


def echoed_logprobs(value: Any, prompt: Sequence[int]) -> tuple[PromptToken | None, ...]:
    """Return the log-probability of each token of a `prompt` asked for with `echo`; the first is `None`.

    A token is the likeliest where no other of its place is told to be likelier; with nothing else told,
    that is not known.

    Raises: ReplyError where the tokens are not those of the prompt.
    """
    try:
        logprobs = value["choices"][0]["logprobs"]
        values, names = logprobs["token_logprobs"], logprobs["tokens"]
        tops = logprobs.get("top_logprobs") or [None] * len(values)
    except (KeyError, IndexError, TypeError, AttributeError):
        raise ReplyError("the answer has no log-probabilities of its prompt") from None
    if len(values) < len(prompt) or len(names) != len(values) or len(tops) != len(values):
        raise ReplyError(f"{len(values)} log-probabilities came for a prompt of {len(prompt)} tokens")
    for name, token in zip(names, prompt, strict=False):
        own = _id_of(name)
        if own is not None and own != token:
            raise ReplyError(f"the server echoes token {own} where the prompt has {token}")
    found: list[PromptToken | None] = [None]
    for logprob, name, top in list(zip(values, names, tops, strict=True))[1 : len(prompt)]:
        if not is_logprob(logprob):
            raise ReplyError(f"{logprob!r:.40} is no log-probability")
        found.append(PromptToken(float(logprob), _rank(name, logprob, top)))
    return tuple(found)


def _rank(name: Any, logprob: float, top: Any) -> int | None:
    others = [value for key, value in top.items() if key != name] if isinstance(top, dict) else []
    if any(is_logprob(value) and value > logprob for value in others):
        return 2  # or more: not the first
    return 1 if others or (isinstance(top, dict) and name in top) else None


def _texts(choice: Mapping[str, Any]) -> tuple[str, str]:
    """Return answer and thoughts of a choice of any kind: a completion, a message, or a chunk of either."""
    if isinstance(choice.get("text"), str):
        return choice["text"], ""
    said = choice.get("message") or choice.get("delta") or {}
    if not isinstance(said, dict):
        raise ReplyError("the answer's message is no JSON object")
    content = said.get("content")
    thoughts = next((said[name] for name in THOUGHTS if isinstance(said.get(name), str)), "")
    return content if isinstance(content, str) else "", thoughts


def _generated_logprobs(value: Mapping[str, Any]) -> tuple[tuple[Mapping[int, float], ...], tuple[int, ...]]:
    tops = value.get("top_logprobs")
    names = value.get("tokens")
    found = []
    for top in tops if isinstance(tops, list) else ():
        by_id = {
            token: float(logprob)
            for name, logprob in (top.items() if isinstance(top, dict) else ())
            if (token := _id_of(name)) is not None and is_logprob(logprob)
        }
        found.append(by_id)
    ids = [_id_of(name) for name in names] if isinstance(names, list) else []
    known = tuple(token for token in ids if token is not None)
    return tuple(found), known if len(known) == len(ids) else ()


def _prompt_logprobs(value: Any) -> tuple[Mapping[int, PromptToken] | None, ...]:
    if not isinstance(value, list):
        return ()
    return tuple(_one_place(place) if isinstance(place, dict) else None for place in value)


def _one_place(place: Mapping[str, Any]) -> Mapping[int, PromptToken]:
    found: dict[int, PromptToken] = {}
    for name, each in place.items():
        if name.isdigit() and isinstance(each, dict) and is_logprob(each.get("logprob")):
            found[int(name)] = PromptToken(float(each["logprob"]), as_count(each.get("rank")))
    return found


def _id_of(name: Any) -> int | None:
    if isinstance(name, str) and name.startswith(_ID_PREFIX) and name[len(_ID_PREFIX) :].isdigit():
        return int(name[len(_ID_PREFIX) :])
    return None
