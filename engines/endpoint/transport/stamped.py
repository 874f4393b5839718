"""aiohttp connections that note when the bytes of each read came, before anything is parsed.

The kernel says when they had arrived (`arrivals`). Where it does not, it is when they were read: then all
reads of streams that send together are noted first and parsed afterwards, so that the time of the last does
not hold the parsing of the others. aiohttp has no hook for that; `StampingConnector` puts a protocol of its
own in the place of aiohttp's, and `Recorder.is_used` tells whether the version at hand has taken it.
"""

from __future__ import annotations

import asyncio
import sys
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial
from inspect import signature
from time import perf_counter_ns
from typing import Any

import aiohttp
from aiohttp.client_proto import ResponseHandler

from engines.endpoint.transport.arrivals import Arrivals, ArrivalSocket
from engines.endpoint.transport.events import Piece


class Recorder:
    """The reads of one request's answer, in their order."""

    def __init__(self) -> None:
        self.reads: list[Piece] = []
        self.is_used = False
        self.has_arrivals = True
        """Whether the times are those of arrivals; else at least one is that of its read."""


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
        arrivals = Arrivals()
        is_taken = "socket_factory" in signature(aiohttp.TCPConnector).parameters  # since aiohttp 3.12
        if is_taken and sys.platform == "linux":
            options["socket_factory"] = arrivals.socket
        super().__init__(**options)
        self._factory: Any = partial(_StampedHandler, loop=self._loop, arrivals=arrivals)


class _StampedHandler(ResponseHandler):
    """aiohttp's protocol of a connection; what it reads for a recorder is noted first and parsed later."""

    def __init__(self, loop: asyncio.AbstractEventLoop, arrivals: Arrivals) -> None:
        super().__init__(loop=loop)
        self._own_loop, self._arrivals = loop, arrivals
        self._socket: ArrivalSocket | None = None
        self._recorder: Recorder | None = None
        self._unparsed: deque[bytes] = deque()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take up a connection."""
        super().connection_made(transport)
        self._socket = self._arrivals.of(transport)

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
        arrived_ns = self._socket.arrived_ns if self._socket is not None else None
        recorder.has_arrivals &= arrived_ns is not None
        recorder.reads.append(Piece(arrived_ns or perf_counter_ns(), data))
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
