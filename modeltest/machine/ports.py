"""The port at which the ranks of a run meet: MASTER_PORT, or one that is chosen."""

from __future__ import annotations

import errno
import socket
from collections.abc import Mapping, Sequence

from modeltest.api import PrerequisiteError, SpecError

PORT_VARIABLE = "MASTER_PORT"

FIRST_PORT, LAST_PORT = 20000, 20050
"""The ranks of one machine meet at the first free one of these unless MASTER_PORT names another."""

NODES_PORT = 12345
"""Where the ranks of several nodes meet unless MASTER_PORT names another: all must know it beforehand."""

LARGEST_PORT = 65535


def given_port(variables: Mapping[str, str]) -> int | None:
    """Return the port that MASTER_PORT names; `None` when it is not set.

    Raises: SpecError when it is no port.
    """
    text = variables.get(PORT_VARIABLE)
    if not text:
        return None
    if not (text.isascii() and text.isdecimal() and 1 <= int(text[:6]) <= LARGEST_PORT):
        raise SpecError(f"{PORT_VARIABLE} is {text!r:.40}, not a port: give 1 to {LARGEST_PORT}, or unset it")
    return int(text)


def ports_to_try(variables: Mapping[str, str]) -> Sequence[int]:
    """Return the ports at which the ranks of this machine may meet: the one that is given and no other.

    Raises: SpecError.
    """
    given = given_port(variables)
    return range(FIRST_PORT, LAST_PORT + 1) if given is None else (given,)


def free_port(variables: Mapping[str, str]) -> int:
    """Return the first of `ports_to_try` that is free.

    Raises: SpecError; PrerequisiteError when there is none.
    """
    for port in ports_to_try(variables):
        if is_free(port):
            return port
    raise no_port_error(variables)


def no_port_error(variables: Mapping[str, str]) -> PrerequisiteError:
    """Return the error that says that the ports of `ports_to_try` are taken."""
    given = given_port(variables)
    if given is None:
        return PrerequisiteError(
            f"all ports from {FIRST_PORT} to {LAST_PORT} are taken; end old runs or set {PORT_VARIABLE}"
        )
    return PrerequisiteError(
        f"port {given} ({PORT_VARIABLE}) is taken by another process of this machine; unset {PORT_VARIABLE}, "
        "or name a port that is free"
    )


def is_free(port: int) -> bool:
    """Say whether a server could listen at `port` on every address."""
    with socket.socket() as attempt:
        # As servers do: what a server that has ended leaves behind for a minute is not in the way.
        attempt.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            attempt.bind(("", port))
        except OSError as problem:
            return problem.errno != errno.EADDRINUSE
    return True
