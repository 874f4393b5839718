"""Choices scored by a server: what is asked for each row of tokens, and what is read of the answers.

A row whose readings are all behind its end takes one token and the log-probabilities of the ids in question,
so that a server's prefix cache serves what questions share. Any other row is asked for the log-probabilities
of its own tokens; a server computes such a prompt anew.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from engines.common.completions import completion
from engines.common.encoding import Encoded
from engines.common.token_rows import ChoiceRow, Reading, choice_rows
from engines.endpoint.routes.replies import PromptToken, Reply, ReplyError, Usage, echoed_logprobs, read_usage
from engines.endpoint.server import Server, chosen_fields, echo_fields, top_fields
from modeltest.api import Completion

Told = tuple[float, bool | None]
"""The log-probability of a token, and whether it is the likeliest; `None` where that is not known."""


class CannotTellError(Exception):
    """This server has no way to tell what a row needs."""


async def choose(server: Server, encoded: Encoded) -> tuple[Completion, list[Usage]]:
    """Return the completion of a request with choices, and what its rows took.

    Raises: Unanswered, ReplyError, CannotTellError.
    """
    count = len(encoded.choice_ids)
    logprobs = [0.0] * count
    is_greedy: list[bool | None] = [True] * count
    of_tokens: list[tuple[float, ...]] = [()] * count
    usages = []
    for row in choice_rows(encoded):
        told, usage = await _row(server, row)
        usages.append(usage)
        for reading, tokens in zip(row.readings, told, strict=True):
            of_tokens[reading.choice] = tuple(logprob for logprob, _ in tokens)
            logprobs[reading.choice] += reading.sign * math.fsum(of_tokens[reading.choice])
            if reading.sign > 0:
                is_greedy[reading.choice] = _both(is_greedy[reading.choice], [known for _, known in tokens])
    known = tuple(each for each in is_greedy if each is not None)
    done = completion(
        encoded,
        choice_logprobs=tuple(logprobs),
        choice_is_greedy=known if len(known) == count else (),
        token_logprobs=tuple(of_tokens) if encoded.request.each_token else (),
    )
    return done, usages


def _both(so_far: bool | None, others: Sequence[bool | None]) -> bool | None:
    together = (so_far, *others)
    if False in together:
        return False
    return None if None in together else True


async def _row(server: Server, row: ChoiceRow) -> tuple[list[list[Told]], Usage]:
    """Return what is told of the tokens of each reading."""
    ids, begin = row.row.ids, row.row.read_from + 1
    ends = [begin + reading.first for reading in row.readings]
    if all(end == len(ids) and len(each.tokens) == 1 for end, each in zip(ends, row.readings, strict=True)):
        return await _behind(server, ids, row.readings)
    if len(row.readings) == 1:
        (reading,) = row.readings
        whole = ids[: ends[0]] + reading.tokens
        places, usage = await _within(server, whole, ends[0])
        return [[_told(places[ends[0] + at]) for at in range(len(reading.tokens))]], usage
    return await _mixed(server, ids, ends, row.readings)


async def _mixed(
    server: Server, ids: tuple[int, ...], ends: Sequence[int], readings: Sequence[Reading]
) -> tuple[list[list[Told]], Usage]:
    """A prompt of which some tokens are read, and tokens that might follow it: both are asked for apart."""
    places, usage = await _within(server, ids, min(ends))
    behind = [each for end, each in zip(ends, readings, strict=True) if end == len(ids)]
    if behind:
        found, _ = await _behind(server, ids, behind)
        told_behind = dict(zip((each.choice for each in behind), found, strict=True))
    told = []
    for end, reading in zip(ends, readings, strict=True):
        if end == len(ids):
            told.append(told_behind[reading.choice])
        else:
            told.append([_told(places[end + at]) for at in range(len(reading.tokens))])
    return told, usage


async def _behind(
    server: Server, ids: tuple[int, ...], readings: Sequence[Reading]
) -> tuple[list[list[Told]], Usage]:
    """Tell single tokens that might follow `ids`."""
    wanted = [reading.tokens[0] for reading in readings]
    for name, fields in (("chosen_logprobs", chosen_fields(wanted)), ("top_logprobs", top_fields())):
        route = server.route_of(name)
        if route is None:
            continue
        reply = await server.reply(route, ids, new_tokens=1, **fields)
        check_prompt(reply, ids)
        top = reply.top[0] if reply.top else {}
        if set(wanted) <= set(top):
            likeliest = max(top, key=lambda token: top[token])
            first = reply.sampled[0] if reply.sampled else likeliest
            return [[(top[token], token == first)] for token in wanted], reply.usage
        if name == "chosen_logprobs":
            raise ReplyError(f"log-probabilities of {wanted} were asked for, {sorted(top)} came")
    told, usage = [], Usage()
    for token in wanted:  # each behind a prompt of its own
        places, usage = await _within(server, (*ids, token), len(ids))
        told.append([_told(places[-1])])
    return told, usage


async def _within(
    server: Server, ids: tuple[int, ...], first: int
) -> tuple[Sequence[PromptToken | None], Usage]:
    """Tell the tokens of `ids` themselves, from the place `first` on."""
    if (route := server.route_of("prompt_logprobs")) is not None:
        where = {"prompt_logprobs_from": first - 1} if server.has(route, "suffix_logprobs") else {}
        reply = await server.reply(route, ids, new_tokens=1, prompt_logprobs=0, **where)
        check_prompt(reply, ids)
        if len(reply.prompt_logprobs) != len(ids):
            raise ReplyError(f"{len(reply.prompt_logprobs)} log-probabilities came for {len(ids)} tokens")
        places = [
            None if place is None else place.get(token)
            for place, token in zip(reply.prompt_logprobs, ids, strict=True)
        ]
        return places, reply.usage
    if (route := server.route_of("echo")) is not None:
        path, body = route.request(server.completion(ids, **echo_fields(server)))
        value = await server.client.post(path, body)
        usage = read_usage(value.get("usage") if isinstance(value, dict) else None)
        check_prompt(Reply(usage=usage), ids)
        return echoed_logprobs(value, ids), usage
    raise CannotTellError(
        "this choice needs the log-probabilities of a prompt's tokens, which the server does not tell "
        f"(prompt_logprobs: {_seen(server, 'prompt_logprobs')}; echo: {_seen(server, 'echo')})"
    )


def check_prompt(reply: Reply, ids: Sequence[int]) -> None:
    """Refuse an answer to another prompt than was sent: one that was cut, or put into a template.

    Raises: ReplyError.
    """
    count = reply.usage.prompt_tokens
    if count is not None and count != len(ids):
        raise ReplyError(f"{len(ids)} prompt tokens were sent, the server read {count}")
    if reply.prompt_ids is not None and reply.prompt_ids != tuple(ids):
        raise ReplyError("the server read other tokens than were sent")


def _told(place: PromptToken | None) -> Told:
    if place is None:
        raise ReplyError("a token of the prompt has no log-probability")
    return place.logprob, None if place.rank is None else place.rank == 1


def _seen(server: Server, name: str) -> str:
    return server.abilities[name].seen if name in server.abilities else "not looked for"
