"""The rank table of a run over several nodes, read whole: everything wrong with it is named at its place.

MindIE looks at the servers' count and at the form of some fields; what is wrong otherwise shows as ranks that
wait for each other. So it is held against all that the format and the words of the run say.

Source: rank tables of HCCL, version 1.0, and what Ascend/MindIE-LLM at 8b4871ad reads of them.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from modeltest.api import Cluster, SpecError
from modeltest.plain.json_text import JsonError, parse_json

VERSION = "1.0"
COMPLETED = "completed"

_NAMED = 5
"""How many of the problems are named."""

_NUMBER = r"0|[1-9][0-9]{0,8}"
"""As HCCL writes it, and MindIE compares it with texts: without zeros in front."""


@dataclass(frozen=True, slots=True)
class Device:
    """One card: its number on its server, the address of its own network interface, its rank."""

    device_id: int
    address: str
    rank: int


@dataclass(frozen=True, slots=True)
class Server:
    """One node and its cards, in the order of their ranks."""

    address: str
    container_address: str | None
    devices: tuple[Device, ...]


@dataclass(frozen=True, slots=True)
class RankTable:
    """The nodes of a run in the order of their ranks; the first is where all meet."""

    servers: tuple[Server, ...]

    @property
    def world_size(self) -> int:
        """How many cards all nodes have."""
        return sum(len(server.devices) for server in self.servers)


def read_rank_table(path: str) -> RankTable:
    """Return the rank table in the file at `path`.

    Raises: SpecError that says what is wrong with it, and where.
    """
    try:
        text = Path(path).expanduser().read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise SpecError(
            f"the rank table {path!r} does not exist; give the JSON file of this cluster"
        ) from None
    except UnicodeDecodeError:
        raise SpecError(f"the rank table {path!r} is not text; a JSON file is expected") from None
    except OSError as problem:
        raise SpecError(f"the rank table {path!r} cannot be read: {problem.strerror or problem}") from None
    return parse_rank_table(text, where=path)


def parse_rank_table(text: str, *, where: str) -> RankTable:
    """Return the rank table in `text`; `where` it comes from is for messages.

    Raises: SpecError.
    """
    try:
        found = parse_json(text)
    except JsonError as problem:
        raise SpecError(f"the rank table {where!r} is not JSON: {problem}") from None
    if not isinstance(found, dict):
        raise SpecError(f"the rank table {where!r} is JSON, but not an object with a server_list")
    problems: list[str] = []
    servers = _read(found, problems)
    _refuse(where, problems)
    return RankTable(servers)


def check_table(table: RankTable, cluster: Cluster, *, world_size: int) -> None:
    """Refuse a table that is not of the nodes, chips and first node that the words of a run name.

    Raises: SpecError.
    """
    _refuse(cluster.rank_table, list(_differences(table, cluster, world_size)))


def _differences(table: RankTable, cluster: Cluster, world_size: int) -> Iterator[str]:
    servers = table.servers
    if len(servers) != cluster.nodes:
        yield f"it has {len(servers)} servers, the words ask for {cluster.nodes} nodes"
    if table.world_size != world_size:
        yield f"its servers have {table.world_size} devices together, the words ask for {world_size}"
    each = world_size // cluster.nodes
    for number, server in enumerate(servers):
        if len(server.devices) != each and len(servers) == cluster.nodes:
            yield (
                f"server_list[{number}] ({server.address}) has {len(server.devices)} devices; {world_size} "
                f"on {cluster.nodes} nodes are {each} each"
            )
    addresses = [ipaddress.ip_address(server.address) for server in servers]
    master = _address(cluster.master_address)
    if master is None:
        yield f"the words name {cluster.master_address!r} as the first node; give its address, {addresses[0]}"
    elif master not in addresses:
        known = ", ".join(map(str, addresses))
        yield f"the first node {master}, which the words name, is none of its servers ({known})"
    elif master != addresses[0]:
        yield (
            f"the words name {master} as the first node, which is server_list[{addresses.index(master)}]; "
            f"rank 0 is on {addresses[0]}"
        )


def _read(found: Mapping[str, Any], problems: list[str]) -> tuple[Server, ...]:
    _expect(found, "version", VERSION, problems)
    _expect(found, "status", COMPLETED, problems)
    entries = found.get("server_list")
    if not isinstance(entries, list) or not entries:
        problems.append("server_list is no list of servers")
        return ()
    count = _number(found, "server_count", "", problems)
    if count is not None and count != len(entries):
        problems.append(f"server_count is {count}, server_list has {len(entries)} servers")
    servers = tuple(
        server
        for number, entry in enumerate(entries)
        if (server := _server(entry, f"server_list[{number}]", problems)) is not None
    )
    _check_addresses(servers, problems)
    if not problems:  # what is missing would only be named again
        _check_ranks(servers, problems)
    return servers


def _server(entry: Any, place: str, problems: list[str]) -> Server | None:
    if not isinstance(entry, dict):
        problems.append(f"{place} is no object")
        return None
    address = _ip(entry, "server_id", place, problems)
    has_container = entry.get("container_ip") not in (None, "")
    container = _ip(entry, "container_ip", place, problems) if has_container else None
    devices = entry.get("device")
    if not isinstance(devices, list) or not devices:
        problems.append(f"{place}.device is no list of devices")
        return None
    read = [_device(one, f"{place}.device[{number}]", problems) for number, one in enumerate(devices)]
    known = tuple(device for device in read if device is not None)
    for number in _repeated([device.device_id for device in known]):
        problems.append(f"{place} has device_id {number} more than once")
    return None if address is None else Server(address, container, known)


def _device(entry: Any, place: str, problems: list[str]) -> Device | None:
    if not isinstance(entry, dict):
        problems.append(f"{place} is no object")
        return None
    number = _number(entry, "device_id", place, problems)
    address = _ip(entry, "device_ip", place, problems)
    rank = _number(entry, "rank_id", place, problems)
    if number is None or address is None or rank is None:
        return None
    return Device(number, address, rank)


def _check_addresses(servers: Sequence[Server], problems: list[str]) -> None:
    for address in _repeated([server.address for server in servers]):
        problems.append(f"server_id {address} is there more than once")
    for address in _repeated([device.address for server in servers for device in server.devices]):
        problems.append(f"device_ip {address} is there more than once")


def _check_ranks(servers: Sequence[Server], problems: list[str]) -> None:
    """Ranks are given out server by server and card by card: so torchrun numbers its processes."""
    ranks = [device.rank for server in servers for device in server.devices]
    repeated = _repeated(ranks)
    for rank in repeated:
        problems.append(f"rank_id {rank} is there more than once")
    missing = sorted(set(range(len(ranks))) - set(ranks))
    if missing and not repeated:
        too_large = max(ranks)
        problems.append(
            f"the rank_ids of {len(ranks)} devices are 0 to {len(ranks) - 1}: {missing[0]} is missing, "
            f"{too_large} is there"
        )
    elif not missing and ranks != sorted(ranks):
        expected = next(index for index, rank in enumerate(ranks) if rank != index)
        problems.append(
            f"rank_ids go up server by server and device by device: rank {ranks[expected]} stands where "
            f"{expected} is expected"
        )


def _expect(found: Mapping[str, Any], key: str, wanted: str, problems: list[str]) -> None:
    if key not in found:
        problems.append(f"{key} is missing; {wanted!r} is expected")
    elif not isinstance(found[key], str):
        problems.append(f"{key} is {found[key]!r:.40}; {wanted!r} in quotes is expected")
    elif found[key] != wanted:
        problems.append(f"{key} is {found[key]!r:.40}; {wanted!r} is expected")


def _number(entry: Mapping[str, Any], key: str, place: str, problems: list[str]) -> int | None:
    value, name = entry.get(key), f"{place}.{key}" if place else key
    if value is None:
        problems.append(f"{name} is missing")
    elif not isinstance(value, str):
        problems.append(f"{name} is {value!r:.40}; a number in quotes is expected")
    elif not re.fullmatch(_NUMBER, value):
        problems.append(f"{name} is {value!r:.40}, not a number")
    else:
        return int(value)
    return None


def _ip(entry: Mapping[str, Any], key: str, place: str, problems: list[str]) -> str | None:
    value = entry.get(key)
    if value is None:
        problems.append(f"{place}.{key} is missing")
        return None
    address = _address(value) if isinstance(value, str) else None
    if address is None:
        problems.append(f"{place}.{key} is {value!r:.60}, not an IP address")
        return None
    return str(address)


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None


def _repeated(values: Sequence[Any]) -> list[Any]:
    return list(dict.fromkeys(value for index, value in enumerate(values) if values.index(value) != index))


def _refuse(where: str, problems: Sequence[str]) -> None:
    if not problems:
        return
    named = "; ".join(problems[:_NAMED])
    more = f"; and {len(problems) - _NAMED} more" if len(problems) > _NAMED else ""
    raise SpecError(f"the rank table {where!r} cannot be used: {named}{more}")
