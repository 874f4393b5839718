"""The network interface at which ranks listen, in the variables that gloo, NCCL and HCCL read.

Left to themselves gloo takes the one that the host's name leads to, and NCCL and HCCL the first that is not
loopback: ports that ask for no password would then be open to the network, also where all ranks are on one
machine.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping

LOOPBACK_INTERFACE = "lo0" if sys.platform == "darwin" else "lo"

_EXACTLY = "={}"
"""To NCCL and HCCL a name alone is the beginning of names."""

_HCCL_ADDRESS = "HCCL_IF_IP"
"""To HCCL an address goes before a name."""


def at_interface(interface: str, variables: Mapping[str, str]) -> dict[str, str]:
    """Return what has the ranks listen at `interface` alone, but for what `variables`, the user's, say.

    Source: torch.distributed, "Choosing the network interface to use"; the user guide of NCCL, "Environment
    Variables"; CANN's reference of environment variables, HCCL_SOCKET_IFNAME and HCCL_IF_IP.
    """
    wanted = {
        "GLOO_SOCKET_IFNAME": interface,
        "NCCL_SOCKET_IFNAME": _EXACTLY.format(interface),
        "HCCL_SOCKET_IFNAME": _EXACTLY.format(interface),
    }
    if variables.get(_HCCL_ADDRESS):
        del wanted["HCCL_SOCKET_IFNAME"]
    return {name: value for name, value in wanted.items() if not variables.get(name)}
