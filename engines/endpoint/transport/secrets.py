"""What must not be seen: the key and headers of an endpoint, and how they are kept out of texts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from engines.endpoint.transport.address import KEY_VARIABLES
from modeltest.api import SpecError

HIDDEN = "***"
_SHORTEST = 4
"""Shorter values are not looked for in texts: they would blot out words that are none."""


@dataclass(frozen=True, slots=True)
class Secrets:
    """Headers that go with every request; nothing of them shows in `repr`."""

    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    values: tuple[str, ...] = field(default=(), repr=False)
    """What is hidden in texts, longest first."""

    def hide(self, text: str) -> str:
        """Return `text` without any of the values."""
        for value in self.values:
            text = text.replace(value, HIDDEN)
        return text


def read_secrets(environment: Mapping[str, str], headers_file: str | None) -> Secrets:
    """Take the key from its variable and further headers from a file.

    Raises: SpecError, which names the variable or the line and not its value.
    """
    headers: dict[str, str] = {}
    values: set[str] = set()
    variable = next((name for name in KEY_VARIABLES if environment.get(name)), None)
    if variable is not None:
        key = environment[variable].strip()
        if not key.isascii() or not key.isprintable():
            raise SpecError(f"the variable {variable} holds characters that no key has")
        headers["Authorization"] = f"Bearer {key}"
        values.add(key)
    if headers_file is not None:
        own = _read_headers(Path(headers_file).expanduser())
        headers |= own
        values |= set(own.values()) | {word for value in own.values() for word in value.split()[1:]}
    hidden = sorted((value for value in values if len(value) >= _SHORTEST), key=len, reverse=True)
    return Secrets(headers, tuple(hidden))


def _read_headers(path: Path) -> dict[str, str]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        raise SpecError(f"headers={path} cannot be read as text") from None
    found: dict[str, str] = {}
    for number, line in enumerate(lines, 1):
        name, separator, value = line.partition(":")
        if not line.strip() or line.startswith("#"):
            continue
        if (
            not separator
            or not name.strip()
            or not value.strip()
            or not line.isascii()
            or not line.isprintable()
        ):
            raise SpecError(f"line {number} of headers={path} is not of the form Name: value")
        found[name.strip()] = value.strip()
    return found
