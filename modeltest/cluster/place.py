"""Where this machine stands in a run over several nodes, as the words and the rank table say."""

from __future__ import annotations

import fcntl
import ipaddress
import os
import socket
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from modeltest.api import PrerequisiteError, RunSpec
from modeltest.cluster.rank_table import RankTable, check_table, read_rank_table
from modeltest.machine.interfaces import LOOPBACK_INTERFACE, at_interface
from modeltest.machine.ports import NODES_PORT, given_port

TABLE_VARIABLE = "RANK_TABLE_FILE"
"""Read by HCCL and by MindIE at import; left over in a shell, it makes one node wait for the others."""

DEVICES_VARIABLE = "ASCEND_RT_VISIBLE_DEVICES"

_SIOCGIFADDR = 0x8915


@dataclass(frozen=True, slots=True)
class Place:
    """The ranks of this machine among those of the run."""

    node: int
    nodes: int
    local_size: int
    master_address: str
    port: int

    @property
    def is_first(self) -> bool:
        """Whether rank 0 is here, which alone reads, decides and reports."""
        return self.node == 0


def node_of(spec: RunSpec) -> int:
    """Return the number of the node this machine is in the run, counted from 0."""
    return 0 if spec.cluster is None else spec.cluster.rank_start // local_size_of(spec)


def local_size_of(spec: RunSpec) -> int:
    """Return how many ranks run on this machine."""
    return spec.world_size // (1 if spec.cluster is None else spec.cluster.nodes)


def place_of(spec: RunSpec, variables: Mapping[str, str]) -> Place | None:
    """Return this machine's place in a run over several nodes; `None` for a run on one.

    Raises: SpecError when MASTER_PORT is no port.
    """
    if spec.cluster is None:
        return None
    return Place(
        node=node_of(spec),
        nodes=spec.cluster.nodes,
        local_size=local_size_of(spec),
        master_address=spec.cluster.master_address,
        port=given_port(variables) or NODES_PORT,
    )


def checked_table(spec: RunSpec) -> RankTable | None:
    """Return the rank table of a run over several nodes, which fits the words; `None` for a run on one.

    Raises: SpecError.
    """
    if spec.cluster is None:
        return None
    table = read_rank_table(spec.cluster.rank_table)
    check_table(table, spec.cluster, world_size=spec.world_size)
    return table


def check_address(spec: RunSpec, table: RankTable) -> None:
    """Refuse to be the first node on a machine that has not its address: nobody would find rank 0.

    Raises: PrerequisiteError.
    """
    if node_of(spec) != 0:
        return
    first = table.servers[0]
    known = list(dict.fromkeys(filter(None, (first.address, first.container_address))))
    if not any(is_own(address) for address in known):
        raise PrerequisiteError(
            f"RANK_START 0 makes this machine the first node, which is {' or '.join(known)} in the rank "
            "table; no interface here has that address: give this node its own RANK_START, or correct "
            "the table"
        )


def listening_address(master_address: str, table: RankTable) -> str:
    """Return the address of this machine, the first node, at which the others find it.

    In a container whose network is its own, that is not the one they use.
    """
    container = table.servers[0].container_address
    return master_address if container is None or is_own(master_address) else container


def node_variables(spec: RunSpec, table: RankTable | None, variables: Mapping[str, str]) -> dict[str, str]:
    """Return what the ranks of this node are told by the environment, unless the user has told them.

    MindIE computes on `npu:<device_id>` of the table, so that the devices up to its largest must be visible.
    """
    if table is None or spec.cluster is None:
        return {}
    server = table.servers[node_of(spec)]
    largest = max(device.device_id for device in server.devices)
    found = {TABLE_VARIABLE: str(Path(spec.cluster.rank_table).expanduser().absolute())}
    if not variables.get(DEVICES_VARIABLE):
        found[DEVICES_VARIABLE] = ",".join(map(str, range(largest + 1)))
    known = filter(None, (server.address, server.container_address))
    interface = next(filter(None, map(interface_of, known)), None)
    return found if interface is None else {**found, **at_interface(interface, variables)}


def is_own(address: str) -> bool:
    """Say whether an interface of this machine has `address`."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as attempt:
        try:
            attempt.bind((address, 0))
        except OSError:
            return False
    return True


def interface_of(address: str) -> str | None:
    """Return the network interface that has `address`; `None` when the system does not tell."""
    if ipaddress.ip_address(address).is_loopback:
        return LOOPBACK_INTERFACE
    return next((name for _, name in _interfaces() if _ipv4_of(name) == address), None)


def _interfaces() -> list[tuple[int, str]]:
    try:
        return socket.if_nameindex()
    except OSError:
        return []


def _ipv4_of(interface: str) -> str | None:
    """Return the first IPv4 address of an interface, as Linux tells it."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        try:
            answer = fcntl.ioctl(
                asking.fileno(), _SIOCGIFADDR, struct.pack("256s", os.fsencode(interface)[:15])
            )
        except OSError:
            return None
    return socket.inet_ntoa(answer[20:24])
