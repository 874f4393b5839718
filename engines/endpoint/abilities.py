"""What a server can, found out by asking it: each ability is believed when its effect was seen.

Servers answer unknown fields with status 200 as if they were not there, so that a status says nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from engines.common.stops import cut_at
from engines.endpoint.logit_steps import common_step, differences
from engines.endpoint.routes.completions import CHAT
from engines.endpoint.routes.replies import Reply, ReplyError, echoed_logprobs, read_reply
from engines.endpoint.routes.route import Route
from engines.endpoint.server import TOP, Prompt, Server, chosen_fields, echo_fields, top_fields
from engines.endpoint.transport.client import Unanswered
from modeltest.api import Ability

SENTENCE = "The sea is salt. The capital of France is"
PLAIN_IDS = tuple(range(40, 52))
"""Token ids that any vocabulary has."""

FEW = 8
"""Tokens of an answer that is looked at."""

LONG = 48
"""Tokens within which a chat model has answered and ended."""

QUESTION = ({"role": "user", "content": "Answer with one word: is the sea salt?"},)

_SHORT_ANSWERS = (
    "Question: Is the sea salt? Answer with one word.\nAnswer:",
    "One, two, three, four, five.",
    "Yes or no? Is the sky green?\n",
    "Thank you for reading. This is the end.",
    "A: Good night.\nB: Good night.\n",
)
"""Prompts that some models answer briefly and end."""

NEAR = 0.5
"""Two ways of one server to tell one log-probability differ by less, in bfloat16 too; wrong ones by more."""


@dataclass(frozen=True, slots=True)
class Texts:
    """What the probes know of the model's tokens."""

    ids: tuple[int, ...] = PLAIN_IDS
    end_id: int | None = None
    """The token that ends an answer."""

    whole_ids: tuple[int, ...] | None = None
    """`SENTENCE` as a whole prompt, with what stands around one."""

    chat_ids: tuple[int, ...] | None = None
    """`QUESTION` in the model's template."""


class NotSeenError(Exception):
    """An ability has no effect; the text says what came instead."""


async def find_out(server: Server, texts: Texts) -> None:
    """Ask for each ability and note in `server.abilities` what was seen.

    Raises: ServerGone; PrerequisiteError for a key that is refused.
    """
    probes = Probes(server, server.openai, texts)
    for name, probe in probes.all().items():
        server.note(server.openai, [await look(name, probe)])


async def look(name: str, probe: Callable[[], Awaitable[str | None]]) -> Ability:
    """Return an ability as its probe saw it."""
    try:
        seen = await probe()
    except (NotSeenError, ReplyError, Unanswered) as problem:
        return Ability(name, False, str(problem))
    if seen is None:
        return Ability(name, None, "no way to see it; every answer is held against what was asked")
    return Ability(name, True, seen)


class Probes:
    """One small request or two for each ability, in an order in which later ones may use earlier ones."""

    def __init__(self, server: Server, route: Route, texts: Texts) -> None:
        self._server = server
        self.route = route
        self._texts = texts
        self.greedy = Reply()
        self.called = server.seen.dialect.name

    def all(self) -> Mapping[str, Callable[[], Awaitable[str | None]]]:
        """Return the probes by the names of what they look for."""
        return {
            "completions": self.completions,
            "chat": self.chat,
            "token_prompts": self.token_prompts,
            "returned_ids": self.returned_ids,
            "prompt_logprobs": self.prompt_logprobs,
            "echo": self.echo,
            "chosen_logprobs": self.chosen_logprobs,
            "top_logprobs": self.top_logprobs,
            "float32_logits": self.float32_logits,
            "ignore_eos": self.ignore_eos,
            "min_tokens": self.min_tokens,
            "stop": self.stop,
            "seed": self.seed,
        }

    async def completions(self) -> str:
        """A text goes on."""
        self.greedy = reply = await self.ask(SENTENCE, new_tokens=FEW)
        if reply.usage.completion_tokens is not None:
            self._server.counting.add(self.route.name)
        if not reply.text and not reply.token_ids:
            raise NotSeenError("an empty answer")
        return f"{SENTENCE.rsplit('.', 1)[-1].strip()!r} goes on {reply.text!r:.60}"

    async def chat(self) -> str:
        """A question in a conversation is answered."""
        value = await self._value(CHAT, self._server.chat(QUESTION, new_tokens=FEW))
        reply = read_reply(value)
        if not reply.text and not reply.thoughts:
            raise NotSeenError("an empty answer")
        return f"answers {reply.text or reply.thoughts!r:.60}" + (", thinks first" if reply.thoughts else "")

    async def token_prompts(self) -> str:
        """As many tokens are read as were sent."""
        ids = self._texts.ids
        reply = await self.ask(ids, new_tokens=1)
        count = reply.usage.prompt_tokens
        if count != len(ids):
            raise NotSeenError(f"{len(ids)} tokens were sent, the server counts {count}")
        if reply.prompt_ids is not None and reply.prompt_ids != ids:
            raise NotSeenError(f"the server read {reply.prompt_ids} for {ids}")
        return f"{count} of {len(ids)} tokens read"

    async def returned_ids(self) -> str:
        """The ids of an answer come with it, as many as are counted."""
        self._need("return_token_ids")
        reply = await self.ask(self._texts.ids, new_tokens=FEW, return_token_ids=True)
        count = reply.usage.completion_tokens
        if reply.token_ids is None or (count is not None and len(reply.token_ids) != count):
            raise NotSeenError(f"{reply.token_ids} came for {count} tokens")
        if reply.prompt_ids is not None and reply.prompt_ids != self._texts.ids:
            raise NotSeenError(f"the server read {reply.prompt_ids} for {self._texts.ids}")
        return f"{len(reply.token_ids)} ids for {count} tokens"

    async def prompt_logprobs(self) -> str:
        """Each token of a prompt has a log-probability under its own id."""
        self._need("prompt_logprobs")
        return f"of {len(await self._prompt_values(self._texts.ids))} tokens, by their ids"

    async def echo(self) -> str:
        """Each token of a prompt has a log-probability, in its order."""
        self._need("echo")
        ids = self._texts.ids
        request = self.route.request(self._server.completion(ids, **echo_fields(self._server)))
        found = echoed_logprobs(await self._value(*request), ids)
        return f"of {len(found) - 1} tokens"

    async def chosen_logprobs(self) -> str:
        """Unlikely tokens that are named have log-probabilities, those that a prompt with them has."""
        self._need("logprob_token_ids")
        ids, named = self._texts.ids, self._texts.ids[:2]
        reply = await self.ask(ids, new_tokens=1, **chosen_fields(named))
        if len(reply.top) != 1 or not set(named) <= set(reply.top[0]):
            raise NotSeenError(f"{sorted(reply.top[0]) if reply.top else 'nothing'} came for {list(named)}")
        told = reply.top[0][named[0]]
        longer = await self._last_logprob((*ids, named[0]))
        if longer is not None and abs(longer - told) > NEAR:
            raise NotSeenError(f"{told:.3f}, where the prompt's own log-probabilities say {longer:.3f}")
        return f"{told:.3f}" + ("" if longer is None else f", as prompt {longer:.3f}")

    async def top_logprobs(self) -> str:
        """The likeliest tokens are told by their ids."""
        self._need("logprobs")
        reply = await self.ask(self._texts.ids, new_tokens=1, **top_fields())
        if len(reply.top) != 1 or len(reply.top[0]) < TOP:
            raise NotSeenError(f"{len(reply.top[0]) if reply.top else 0} of {TOP} came with an id")
        return f"{len(reply.top[0])} of {TOP}"

    async def float32_logits(self) -> str | None:
        """Log-probabilities of likely tokens are not apart by whole steps of a 16-bit dtype."""
        if not self._server.has(self.route, "top_logprobs"):
            return None
        reply = await self.ask(self._texts.ids, new_tokens=FEW, **top_fields())
        found = differences(reply.top)
        try:
            step = common_step(found)
        except ValueError:
            return None
        if step is not None:
            raise NotSeenError(f"rounded to 16 bits: {len(found)} differences in steps of {step:g}")
        return f"{len(found)} differences in no common step"

    async def ignore_eos(self) -> str | None:
        """An answer that ends by itself goes on to its limit."""
        self._need("ignore_eos")
        prompt, fields, limit = await self._ending()
        if prompt is None:
            return None
        reply = await self.ask(prompt, new_tokens=limit, ignore_eos=True, **fields)
        if reply.usage.completion_tokens != limit:
            raise NotSeenError(f"{reply.usage.completion_tokens} of {limit} tokens came")
        return f"{limit} of {limit} tokens behind an early end"

    async def min_tokens(self) -> str | None:
        """An answer that ends by itself has as many tokens as it must."""
        self._need("min_tokens")
        prompt, fields, limit = await self._ending()
        if prompt is None:
            return None
        reply = await self.ask(prompt, new_tokens=limit, min_tokens=limit, **fields)
        if reply.usage.completion_tokens != limit:
            raise NotSeenError(f"{reply.usage.completion_tokens} of {limit} tokens came")
        return f"{limit} of {limit} tokens"

    async def stop(self) -> str:
        """An answer ends at a text that it would have said."""
        text = self.greedy.text
        place = text[len(text) // 2 :].strip()[:4]
        if not place:
            raise NotSeenError("the answer is too short to be stopped")
        reply = await self.ask(SENTENCE, new_tokens=FEW, stop=[place])
        seen = f"stopped at {place!r}: {reply.text!r:.60}"
        wanted = text.split(place, 1)[0]
        if reply.text == wanted:
            return seen
        if len(reply.text) < len(text) and cut_at(reply.text, (place,)) == wanted:
            return f"{seen}, its end is cut off here"  # transformers ends behind the token that completes it
        raise NotSeenError(seen)

    async def seed(self) -> str:
        """Equal seeds draw alike, others otherwise."""
        self._need("seed")
        drawn = [
            (await self.ask(SENTENCE, new_tokens=2 * FEW, temperature=1.5, seed=seed)).text
            for seed in (11, 11, 12, 13)
        ]
        if drawn[0] != drawn[1]:
            raise NotSeenError("one seed drew two texts")
        if len(set(drawn)) == 1:
            raise NotSeenError("three seeds drew one text")
        return f"{len(set(drawn))} texts of 3 seeds, one seed twice the same"

    async def _ending(self) -> tuple[Prompt | None, dict[str, Any], int]:
        """Return a prompt that is known to end early, what to send with it, and a limit it does not reach.

        The token that ends an answer is made the likeliest; where that has no effect, prompts are tried
        that a model may answer briefly.
        """
        if self._texts.end_id is not None and "logit_bias" in self.route.wishes:
            fields = {"logit_bias": {str(self._texts.end_id): 100}}
            with suppress(NotSeenError):
                reply = await self.ask(self._texts.ids, new_tokens=FEW, **fields)
                if reply.usage.completion_tokens in (0, 1) and reply.finish == "stop":
                    return self._texts.ids, fields, FEW
        asked: list[Prompt] = [*([self._texts.chat_ids] if self._texts.chat_ids else []), *_SHORT_ANSWERS]
        replies = await asyncio.gather(*(self.ask(prompt, new_tokens=LONG) for prompt in asked))
        for prompt, reply in zip(asked, replies, strict=True):
            if reply.finish == "stop" and (reply.usage.completion_tokens or LONG) < LONG:
                return prompt, {}, LONG
        return None, {}, 0

    async def _last_logprob(self, ids: Sequence[int]) -> float | None:
        if not self._server.has(self.route, "prompt_logprobs"):
            return None
        reply = await self.ask(ids, new_tokens=1, prompt_logprobs=0)
        place = reply.prompt_logprobs[-1] if reply.prompt_logprobs else None
        return place[ids[-1]].logprob if place and ids[-1] in place else None

    async def _prompt_values(self, ids: Sequence[int], begin: int = 0) -> list[float]:
        """Return the log-probability of each token behind the one at `begin`."""
        where = {"prompt_logprobs_from": begin} if begin else {}
        places = (await self.ask(ids, new_tokens=1, prompt_logprobs=0, **where)).prompt_logprobs
        if len(places) != len(ids):
            raise NotSeenError(f"{len(places)} places came for {len(ids)} tokens")
        read = list(zip(places, ids, strict=True))[begin + 1 :]
        told = [place[token].logprob for place, token in read if place and token in place]
        if len(told) != len(read):
            raise NotSeenError(f"{len(told)} of {len(read)} tokens have a log-probability under their ids")
        return told

    async def ask(self, prompt: Prompt, *, new_tokens: int, **fields: Any) -> Reply:
        """Return the answer to a completion."""
        request = self.route.request(self._server.completion(prompt, new_tokens=new_tokens, **fields))
        return self.route.read(await self._value(*request))

    async def _value(self, path: str, body: Mapping[str, Any]) -> Any:
        reply = await self._server.client.probe(path, body)
        if reply.status != 200:
            raise NotSeenError(f"status {reply.status}: {reply.text:.120}")
        return reply.value

    def _need(self, name: str) -> None:
        if name not in self.route.wishes:
            dialect = self._server.seen.dialect
            raise NotSeenError(dialect.unfit.get(name) or f"{self.called} has no field {name}")
