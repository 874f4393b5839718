"""aiohttp connections that note when each read came, before anything is parsed.

Of many streams that send together, all reads are noted first and parsed afterwards: the time of the last of
them does not hold the parsing of the others. aiohttp has no hook for that; `StampingConnector` puts a
protocol of its own in the place of aiohttp's, and `Recorder.is_used` tells whether the version at hand has
taken it.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial
from time import perf_counter_ns
from typing import Any

import aiohttp
from aiohttp.client_proto import ResponseHandler

from engines.endpoint.transport.events import Piece


class Recorder:
    """The reads of one request's answer, in their order."""

    def __init__(self) -> None:
        self.reads: list[Piece] = []
        self.is_used = False


_RECORDER: ContextVar[Recorder | None] = ContextVar("recorder", default=None)


@contextmanager
def recording(recorder: Recorder) -> Iterator[None]:
    """Let the request that is made within note its reads in `recorder`."""
    token = _RECORDER.set(recorder)
    try:
        yield
    finally:
        _RECORDER.reset(token)


class StampingConnector(aiohttp.TCPConnector):
    """Makes connections whose reads can be recorded."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._factory: Any = partial(_StampedHandler, loop=self._loop)


class _StampedHandler(ResponseHandler):
    """aiohttp's protocol of a connection; what it reads for a recorder is noted first and parsed later."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(loop=loop)
        self._own_loop = loop
        self._recorder: Recorder | None = None
        self._unparsed: deque[bytes] = deque()

    def set_response_params(self, **options: Any) -> None:
        """Begin with a request's answer: aiohttp calls this in the task that asks."""
        self._recorder = _RECORDER.get()
        if self._recorder is not None:
            self._recorder.is_used = True
        super().set_response_params(**options)

    def data_received(self, data: bytes) -> None:
        """Note a read, or parse it where nobody wants its time."""
        recorder = self._recorder
        if recorder is None:
            super().data_received(data)
            return
        recorder.reads.append(Piece(perf_counter_ns(), data))
        if not self._unparsed:
            self._own_loop.call_soon(self._parse)
        self._unparsed.append(data)

    def eof_received(self) -> None:
        """Parse what is left before the end is told."""
        self._parse()
        super().eof_received()

    def connection_lost(self, exc: BaseException | None) -> None:
        """Parse what is left before the end is told."""
        self._parse()
        super().connection_lost(exc)

    def _parse(self) -> None:
        while self._unparsed:
            super().data_received(self._unparsed.popleft())
