"""Rank tables as HCCL's tools write them."""

import json
from pathlib import Path
from typing import Any


def table(*addresses: str, devices: int = 2) -> dict[str, Any]:
    """Return the table of nodes at `addresses` with `devices` cards each."""
    servers = []
    for node, address in enumerate(addresses):
        cards = [
            {
                "device_id": str(number),
                "device_ip": f"29.0.{node}.{number + 1}",
                "rank_id": str(node * devices + number),
            }
            for number in range(devices)
        ]
        servers.append({"server_id": address, "container_ip": address, "device": cards})
    return {
        "version": "1.0",
        "server_count": str(len(servers)),
        "server_list": servers,
        "status": "completed",
    }


def write(path: Path, found: Any) -> str:
    """Write `found` to `path` as MindIE wants it: nobody else may change it."""
    path.write_text(found if isinstance(found, str) else json.dumps(found))
    path.chmod(0o640)
    return str(path)
