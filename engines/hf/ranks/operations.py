"""The operations that ranks which compute one model must agree on, and the same for a rank that is alone.

A rank is one process of a run. With tensor parallelism each holds a part of every matrix, so that all of
them must take the same steps: whatever one does because of a failure, all must do.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol, TypeVar

T = TypeVar("T")


class Ranks(Protocol):
    """The ranks that compute one model together."""

    rank: int
    size: int

    def attempt(self, work: Callable[[], T]) -> T:
        """Return what `work` returns; if it fails on one rank, raise on all of them.

        Raises: what is out of memory everywhere where it was so on one rank; otherwise the error of the rank
        that failed.
        """

    def same(self, tensor: Any) -> Any:
        """Return `tensor` as rank 0 has it."""

    def least(self, value: int) -> int:
        """Return the smallest `value` of all ranks."""

    def meet(self) -> None:
        """Wait until all ranks are here."""


class Alone:
    """The only rank there is."""

    rank = 0
    size = 1

    def attempt(self, work: Callable[[], T]) -> T:
        """Return what `work` returns."""
        return work()

    def same(self, tensor: Any) -> Any:
        """Return `tensor`."""
        return tensor

    def least(self, value: int) -> int:
        """Return `value`."""
        return value

    def meet(self) -> None:
        """Return at once."""


ALONE = Alone()
