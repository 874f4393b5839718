"""Sockets of Linux that know when what they read had arrived: by the kernel's stamp, not by that of the read.

Of many streams that send together the last is read when all others have been, and whoever waits for a byte is
woken some tenths of a millisecond after it came. The kernel notes when it did.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Sequence
from time import perf_counter_ns, time_ns
from typing import Any
from weakref import WeakValueDictionary

_OPTION = 35
"""SO_TIMESTAMPNS of Linux on x86, Arm and RISC-V; Python has no name for it."""

_STAMP = struct.Struct("@qq")
"""Seconds and nanoseconds of the clock that `time.time_ns` reads."""

_ROOM = 64
"""Bytes of what the kernel says beside the data; a stamp takes 32."""

_NS_PER_S = 1_000_000_000

_TOGETHER_NS = 20_000
_TRIES = 5

Said = Sequence[tuple[int, int, bytes]]


class ArrivalSocket(socket.socket):
    """A socket like any other that notes when the bytes of each read had arrived."""

    arrived_ns: int | None = None
    """When the last byte of the last read had, by `time.perf_counter_ns`; `None` where nobody says it."""

    def recv(self, size: int, flags: int = 0, /) -> bytes:
        """Read."""
        data, said, _, _ = self.recvmsg(size, _ROOM, flags)
        self._note(said)
        return data

    def recv_into(self, buffer: Any, size: int = 0, flags: int = 0, /) -> int:
        """Read into `buffer`, as asyncio does beneath TLS."""
        view = memoryview(buffer)
        count, said, _, _ = self.recvmsg_into([view[:size] if size else view], _ROOM, flags)
        self._note(said)
        return count

    def _note(self, said: Said) -> None:
        self.arrived_ns = arrival_ns(said, *_now(), self.arrived_ns)


class Arrivals:
    """Makes such sockets, and knows them again beneath asyncio's transports, which show a wrapper alone."""

    def __init__(self) -> None:
        self._open: WeakValueDictionary[int, ArrivalSocket] = WeakValueDictionary()

    def socket(self, address: Any) -> ArrivalSocket:
        """Return a socket for an entry of `socket.getaddrinfo`; aiohttp's `socket_factory`."""
        family, kind, protocol = address[:3]
        made = ArrivalSocket(family, kind, protocol)
        made.setsockopt(socket.SOL_SOCKET, _OPTION, 1)
        self._open[made.fileno()] = made
        return made

    def of(self, connection: Any) -> ArrivalSocket | None:
        """Return the socket of a transport, `None` where it is of somebody else's making."""
        shown = connection.get_extra_info("socket")
        return None if shown is None else self._open.get(shown.fileno())


def arrival_ns(said: Said, now_ns: int, date_ns: int, before_ns: int | None) -> int | None:
    """Return the time of a kernel's stamp on the clock of `now_ns`, `None` without a stamp.

    `date_ns` is now on the stamp's clock, `before_ns` the arrival before. A clock that is set in between
    makes the stamp too old or too young: nothing arrives in the future, nor before what was read earlier.
    """
    for level, kind, data in said:
        if (level, kind, len(data)) == (socket.SOL_SOCKET, _OPTION, _STAMP.size):
            seconds, ns = map(int, _STAMP.unpack(data))
            age_ns = max(date_ns - seconds * _NS_PER_S - ns, 0)
            return max(now_ns - age_ns, before_ns or 0)
    return None


def _now() -> tuple[int, int]:
    """Return one moment on both clocks; a process that was held up between reading them reads them again."""
    for _ in range(_TRIES):
        before_ns, date_ns, after_ns = perf_counter_ns(), time_ns(), perf_counter_ns()
        if after_ns - before_ns <= _TOGETHER_NS:
            break
    return after_ns, date_ns
