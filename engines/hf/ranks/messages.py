"""Messages between ranks, sealed, through the connections of `torch.distributed`: broadcast, scatter, gather.

torch's own calls for objects unpickle what comes in. Here the bytes of a sealed message travel as a tensor of
bytes, and are read by `modeltest.machine.rank_messages`, which refuses what no rank of this run has sealed.
Every message has a number, counted by both sides, between these two ranks and of this kind.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, TypeVar

from modeltest.api import RankMessageRefused
from modeltest.machine.rank_messages import Seal

T = TypeVar("T")

LARGEST_BYTES = 1 << 30
"""No window of requests comes near it; a message that is announced as larger is refused."""

_ALL = "all"


class RankMessages:
    """Sends and receives; every rank must take part in each call, in the same order.

    Raises in all of them: RuntimeError when a connection breaks; RankMessageRefused.
    """

    def __init__(self, rank: int, size: int, seal: Seal) -> None:
        self._rank = rank
        self._size = size
        self._seal = seal
        self._sent: Counter[tuple[str, object, object]] = Counter()

    def broadcast(self, message: object) -> None:
        """Rank 0: send `message` to every other rank."""
        import torch.distributed as dist

        sealed = self._closed(message, "told", _ALL)
        dist.broadcast(_length(sealed), src=0)
        dist.broadcast(_tensor(sealed), src=0)

    def receive_broadcast(self, kind: type[T]) -> T:
        """Return what rank 0 broadcasts."""
        import torch.distributed as dist

        length = _length()
        dist.broadcast(length, src=0)
        received = _room(length)
        dist.broadcast(received, src=0)
        return self._opened(received, kind, "told", 0, _ALL)

    def scatter(self, messages: Sequence[object]) -> None:
        """Rank 0: send `messages[r]` to each other rank r."""
        for rank in range(1, self._size):
            self._send(self._closed(messages[rank], "dealt", rank), rank)

    def receive_scattered(self, kind: type[T]) -> T:
        """Return what rank 0 scatters to this rank."""
        return self._received(kind, "dealt", 0, self._rank)

    def send_to_first(self, message: object) -> None:
        """Send `message` to rank 0, which gathers."""
        self._send(self._closed(message, "handed in", 0), 0)

    def gather(self, kind: type[T]) -> list[T]:
        """Rank 0: return what the other ranks send, in their order."""
        return [self._received(kind, "handed in", rank, 0) for rank in range(1, self._size)]

    def all_gather(self, message: T) -> list[T]:
        """Return the `message` of every rank, in their order; all are of one kind."""
        import torch
        import torch.distributed as dist

        sealed = self._closed(message, "exchanged", _ALL)
        lengths = [_length() for _ in range(self._size)]
        dist.all_gather(lengths, _length(sealed))
        rooms = [_room(length) for length in lengths]
        longest = max(len(room) for room in rooms)
        padded = torch.zeros(longest, dtype=torch.uint8)
        padded[: len(sealed)] = _tensor(sealed)
        received = [torch.empty(longest, dtype=torch.uint8) for _ in rooms]
        dist.all_gather(received, padded)
        return [
            message
            if rank == self._rank
            else self._opened(whole[: len(room)], type(message), "exchanged", rank, _ALL)
            for rank, (room, whole) in enumerate(zip(rooms, received, strict=True))
        ]

    def _send(self, sealed: bytes, to: int) -> None:
        import torch.distributed as dist

        dist.send(_length(sealed), dst=to)
        dist.send(_tensor(sealed), dst=to)

    def _received(self, kind: type[T], what: str, sender: int, receiver: int) -> T:
        import torch.distributed as dist

        length = _length()
        dist.recv(length, src=sender)
        received = _room(length)
        dist.recv(received, src=sender)
        return self._opened(received, kind, what, sender, receiver)

    def _closed(self, message: object, what: str, receiver: object) -> bytes:
        return self._seal.close(message, about=self._about(what, self._rank, receiver))

    def _opened(self, received: Any, kind: type[T], what: str, sender: int, receiver: object) -> T:
        sealed = received.numpy().tobytes()
        return self._seal.open(sealed, kind, about=self._about(what, sender, receiver))

    def _about(self, what: str, sender: object, receiver: object) -> str:
        """Return what the next message of this kind between these two is called."""
        self._sent[what, sender, receiver] += 1
        return f"{what} by rank {sender} to {receiver}, number {self._sent[what, sender, receiver]}"


def _length(sealed: bytes | None = None) -> Any:
    import torch

    return torch.tensor([0 if sealed is None else len(sealed)], dtype=torch.int64)


def _tensor(sealed: bytes) -> Any:
    import torch

    return torch.frombuffer(bytearray(sealed), dtype=torch.uint8)


def _room(length: Any) -> Any:
    """Return an empty tensor for a message of the announced `length`.

    Raises: RankMessageRefused for one that no message has.
    """
    import torch

    announced = int(length)
    if not 0 < announced <= LARGEST_BYTES:
        raise RankMessageRefused(f"a message of {announced} bytes is announced, which is no rank's: refused")
    return torch.empty(announced, dtype=torch.uint8)
