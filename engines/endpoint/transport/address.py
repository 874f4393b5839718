"""Where an endpoint is: its URL taken apart, and what is refused of it. Pure but for looking up a name."""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from urllib.parse import urlsplit

from modeltest.api import PrerequisiteError, SpecError

KEY_VARIABLES = ("MODELTEST_API_KEY", "OPENAI_API_KEY")
"""Where a key is taken from, the first that is set; it is given in no other way."""

_EXAMPLE = "http://127.0.0.1:8000/v1"
_LOCAL_NAMES = ("localhost", "localhost.localdomain")


@dataclass(frozen=True, slots=True)
class Address:
    """An endpoint without anything secret; `base` is its URL as it is written everywhere, without a slash."""

    scheme: str
    host: str
    port: int
    path: str

    @property
    def root(self) -> str:
        """The server: scheme, host and port."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}"

    @property
    def base(self) -> str:
        """What the paths of the OpenAI interface follow, such as `/completions`."""
        return self.root + self.path

    @property
    def label(self) -> str:
        """A name for folders: host and port."""
        return re.sub(r"[^0-9A-Za-z.-]+", "-", f"{self.host}-{self.port}").strip("-")


def read_address(text: str) -> Address:
    """Take a URL apart; one without a path means `/v1`.

    Raises: SpecError, which never repeats a URL that may hold something secret.
    """
    if re.match(r"[A-Za-z][A-Za-z0-9+.-]*://[^/?#]*@", text):
        raise SpecError(
            "the URL holds a user name or password, which would be written into files; leave them out: a key "
            f"is taken from the variable {' or '.join(KEY_VARIABLES)}, other headers from a file "
            "(--engine-option headers=FILE)"
        )
    if "?" in text or "#" in text:
        raise SpecError(
            "the URL holds ? or #: give it up to its path, and a key in the variable " + KEY_VARIABLES[0]
        )
    try:
        parts = urlsplit(text)
        host, port = parts.hostname, parts.port
    except ValueError as problem:
        raise SpecError(f"{text!r:.200} is no URL ({problem}); expected one such as {_EXAMPLE}") from None
    if parts.scheme not in ("http", "https") or not host or not text.isprintable() or " " in text:
        raise SpecError(f"{text!r:.200} is no URL of an endpoint; expected one such as {_EXAMPLE}")
    default = 443 if parts.scheme == "https" else 80
    return Address(parts.scheme, host, port or default, parts.path.rstrip("/") or "/v1")


def _resolve(host: str, port: int) -> list[str]:
    return [str(found[4][0]) for found in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]


def refuse_open_http(address: Address, *, resolve: Callable[[str, int], Iterable[str]] = _resolve) -> None:
    """Refuse plain http to any machine that is not this one or in a private network.

    Raises: SpecError; PrerequisiteError when the host has no address.
    """
    if address.scheme == "https" or address.host in _LOCAL_NAMES:
        return
    try:
        found = [address.host] if _is_address(address.host) else list(resolve(address.host, address.port))
    except OSError as problem:
        raise PrerequisiteError(f"the host of {address.base} is not known here: {problem.strerror}") from None
    public = [each for each in found if not _is_private(each)]
    if public:
        raise SpecError(
            f"{address.base} is plain http to the public address {public[0]}: prompts and key could be read "
            "on the way; use https, or --engine-option allow_http=yes"
        )


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    return True


def _is_private(text: str) -> bool:
    address = ipaddress.ip_address(text.partition("%")[0])
    mapped = getattr(address, "ipv4_mapped", None)
    found = mapped or address
    return bool(found.is_loopback or found.is_private or found.is_link_local)
