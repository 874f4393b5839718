"""The store through which the processes of a run find each other: torch's TCPStore, at one address.

Left to itself torch listens on every network of the machine. Here the socket is bound before the store gets
it: to loopback when all ranks are on one machine, else to the first node's address in the rank table and no
other. torchrun, in this process, uses the same server. Anybody who reaches the address can write into it all
the same, so that what nodes tell each other is sealed (`SealedStore`).
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Sequence
from datetime import timedelta
from typing import Any, TypeVar

from modeltest.cluster.place import Place
from modeltest.machine.rank_messages import Seal

_PATIENCE = timedelta(seconds=60)
_BACKLOG = 1024

T = TypeVar("T")


def serve(address: str, port: int) -> Any:
    """Return a store that this process keeps at `address` and `port`, which is taken as long as it lives.

    Raises: OSError when it cannot be listened at.
    """
    family = socket.AF_INET6 if ipaddress.ip_address(address).version == 6 else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as listening:
        # As servers do: what a server that has ended leaves behind for a minute is not in the way.
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((address, port))
        listening.listen(_BACKLOG)
        # From torch 2.4 on libuv is the default, and for some versions it takes no socket of ours.
        return _tcp_store(address, port, is_master=True, master_listen_fd=listening.detach(), use_libuv=False)


def reach(place: Place) -> Any:
    """Return the store of the first node.

    Raises: RuntimeError when it does not answer.
    """
    return _tcp_store(place.master_address, place.port, is_master=False)


class SealedStore:
    """Sealed values under names in a store: the messages between nodes."""

    def __init__(self, store: Any, seal: Seal) -> None:
        self.store = store
        self.seal = seal

    def tell(self, name: str, value: object) -> None:
        """Put `value` under `name`."""
        self.store.set(name, self.seal.close(value, about=name))

    def hear(self, name: str, kind: type[T]) -> T:
        """Return the `kind` under `name`, which is there.

        Raises: RankMessageRefused when no node of this run has put it there.
        """
        return self.seal.open(self.store.get(name), kind, about=name)

    def has(self, names: Sequence[str]) -> bool:
        """Say whether something is there under all of `names`."""
        return bool(self.store.check(list(names)))

    def for_the_run(self, tokens: Sequence[str]) -> SealedStore:
        """Return a view with a secret of this run alone, which refuses values sealed in other runs."""
        return SealedStore(self.store, Seal(self.seal.derived("this run", tokens)))


def _tcp_store(address: str, port: int, *, is_master: bool, **settings: Any) -> Any:
    from torch import distributed

    stores: Any = distributed  # they have no types
    # In one process, torchrun's own store and this one share a server.
    return stores.TCPStore(
        address,
        port,
        is_master=is_master,
        wait_for_workers=False,
        multi_tenant=True,
        timeout=_PATIENCE,
        **settings,
    )


def of_nodes(store: Any) -> Any:
    """Return the part of a store that is the nodes' own."""
    from torch import distributed

    stores: Any = distributed
    return stores.PrefixStore("modeltest-nodes", store)
