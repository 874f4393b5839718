"""Whether a server still serves the model that was looked at, by what it says to fixed texts.

A server may get other weights while no connection breaks: behind a balancer, or between two requests. So no
answer is given out before the model was seen to be the same behind it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

from engines.endpoint.fingerprint import TEXTS, Fingerprint, fingerprint, said_to
from engines.endpoint.server import Server
from engines.endpoint.transport.client import ServerGone, Unanswered
from modeltest.api import EngineError, other_weights

_LEAST_S = 0.5
_MOST_S = 60.0
_LOOKS_TO_WORK = 10.0
"""How many times as long as a look takes it is not looked again: looking costs one part in so many."""


class ModelWatch:
    """Looks at one server, by one fixed text after the other."""

    def __init__(self, server: Server, known: Fingerprint) -> None:
        self._server, self._known = server, known
        self._place = 0
        self._running = 0
        self._may_ask, self._is_idle = asyncio.Event(), asyncio.Event()
        self._may_ask.set()
        self._is_idle.set()
        self._must_be_alone = False
        self._next_s = 0.0
        server.client.on_return = self.refuse_others
        server.client.has_changed = False

    @asynccontextmanager
    async def asking(self) -> AsyncIterator[None]:
        """Ask something within, unless a look wants to be alone: then that comes first."""
        await self._may_ask.wait()
        self._running += 1
        self._is_idle.clear()
        try:
            yield
        finally:
            self._running -= 1
            if not self._running:
                self._is_idle.set()

    def is_due(self) -> bool:
        """Say whether it is time for another look."""
        return time.monotonic() >= self._next_s

    async def look(self) -> None:
        """See whether the model is the same by one text, of a server that tells answers alone by all.

        Where that differs, all texts are asked as at the begin, with nothing beside.
        What runs beside changes how a server rounds. Once that was as much as other weights might do, each
        look waits until nothing is in flight.

        Raises: EngineError when it is another model; ServerGone.
        """
        begin_s = time.monotonic()
        seen = None if self._must_be_alone else await self._seems_the_same()
        if not seen:
            self._must_be_alone |= seen is False
            async with self._alone():
                if not await self._seems_the_same():
                    await self._server.client.look_again()
        end_s = time.monotonic()
        self._next_s = end_s + min(max(_LEAST_S, _LOOKS_TO_WORK * (end_s - begin_s)), _MOST_S)

    async def refuse_others(self) -> None:
        """Look at all texts.

        Raises: EngineError when it is another model; Unanswered, ServerGone.
        """
        now = replace((await fingerprint(self._server)).whole, noise=None)  # of two models it scatters widely
        if difference := other_weights(self._known.whole, now):
            base = self._server.client.address.base
            raise EngineError(f"{base} serves another model than at the begin: {difference}")

    async def _seems_the_same(self) -> bool | None:
        """Return what the next text says; `None` where it is not answered."""
        place, self._place = self._place, (self._place + 1) % len(TEXTS)
        places = (place,) if self._known.whole.logprobs else range(len(TEXTS))  # some answers end at once
        try:
            now = await asyncio.gather(*(said_to(self._server, each) for each in places))
        except (Unanswered, ServerGone):
            return None
        known = (self._known.parts[each] for each in places)
        return not any(map(other_weights, known, now))

    @asynccontextmanager
    async def _alone(self) -> AsyncIterator[None]:
        self._may_ask.clear()
        try:
            await self._is_idle.wait()
            yield
        finally:
            self._may_ask.set()
