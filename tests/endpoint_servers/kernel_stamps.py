"""Connections whose reads are stamped by the kernel of Linux as their bytes arrive: a witness of its own.

A server in Python reads what many clients sent together one after another; its own clock is then later than
the bytes were there.
"""

from __future__ import annotations

import asyncio
import socket
import struct
import time
from typing import Any
from weakref import WeakValueDictionary

SO_TIMESTAMPNS = 35
_TIMESPEC = struct.Struct("@qq")


class StampedSocket(socket.socket):
    """An accepted connection; `arrived_ns` is on the monotonic clock."""

    arrived_ns = 0

    def recv(self, size: int, flags: int = 0, /) -> bytes:
        """Read, and note when the last byte had arrived."""
        data, said, _, _ = self.recvmsg(size, 128, flags)
        stamps = [_TIMESPEC.unpack(each) for _, kind, each in said if kind == SO_TIMESTAMPNS]
        before_ns, date_ns, after_ns = time.monotonic_ns(), time.time_ns(), time.monotonic_ns()
        while after_ns - before_ns > 20_000:  # held up between the two clocks
            before_ns, date_ns, after_ns = time.monotonic_ns(), time.time_ns(), time.monotonic_ns()
        self.arrived_ns = after_ns - sum(date_ns - seconds * 10**9 - ns for seconds, ns in stamps)
        return data


_OPEN: WeakValueDictionary[int, StampedSocket] = WeakValueDictionary()


def connection_of(transport: asyncio.BaseTransport) -> StampedSocket | None:
    """Return the accepted connection beneath asyncio's transport, which shows a wrapper of it."""
    return _OPEN.get(transport.get_extra_info("socket").fileno())


class StampingListener(socket.socket):
    """Accepts connections that are stamped from their first byte on."""

    def accept(self) -> tuple[StampedSocket, Any]:
        """Return a connection and where it is from."""
        accepted, address = super().accept()
        made = StampedSocket(accepted.family, accepted.type, accepted.proto, fileno=accepted.detach())
        _OPEN[made.fileno()] = made
        return made, address


def listener(port: int) -> StampingListener:
    """Return a socket that listens on the loopback interface; what it accepts has its option."""
    made = StampingListener(socket.AF_INET, socket.SOCK_STREAM)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    made.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
    made.bind(("127.0.0.1", port))
    made.listen(128)
    return made
