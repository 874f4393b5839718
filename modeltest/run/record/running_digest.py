"""The digest that every line of a journal ends with: of the line and, by the digest before it, of all above.

A line is `{"sample":{...},"digest":"<sha256>"}`. The digest is the sha256 of the digest of the line before
(its 64 hexadecimal digits; nothing before the first line) followed by this line up to `,"digest"`. So a line
that was changed, doubled, moved or left out is found at its place, without reading any JSON. It is no
signature: a journal whose digests were all computed anew passes.

Journals of older versions have lines without digests. They count into the digest of whatever follows, so that
a run which goes on with such a journal guards it from there on. Pure.
"""

from __future__ import annotations

import hashlib

KEY = "digest"

_HEX_DIGITS = 64
_BEGIN = f',"{KEY}":"'.encode()
_END = b'"}\n'
_TAIL_BYTES = len(_BEGIN) + _HEX_DIGITS + len(_END)
_BARE_END = b"}\n"
"""How a line without a digest ends."""


class RunningDigest:
    """Follows the lines of one journal from its beginning, read or written."""

    def __init__(self) -> None:
        self.value = ""
        """The digest of all lines so far; empty before the first."""

        self.has_begun = False
        """Whether a line had a digest: from then on every one needs it."""

    def copy(self) -> RunningDigest:
        """Return one that goes on from here by itself."""
        other = RunningDigest()
        other.value, other.has_begun = self.value, self.has_begun
        return other

    def append(self, body: bytes) -> bytes:
        """Return the line that ends `body`, a JSON object without its closing brace, with its digest."""
        self.value = self._after(body)
        self.has_begun = True
        return body + _BEGIN + self.value.encode() + _END

    def take(self, line: bytes) -> None:
        """Follow a whole line that was read.

        Raises: ValueError saying why it is not the line that was written here.
        """
        if has_digest(line):
            self._take_with_digest(line)
        elif self.has_begun:
            raise ValueError("it has no digest, which the lines above have: it was not written by the run")
        else:
            self.value = self._after(line.removesuffix(_BARE_END))

    def _take_with_digest(self, line: bytes) -> None:
        found = line[-_HEX_DIGITS - len(_END) : -len(_END)].decode(errors="replace")
        self.value = self._after(line[:-_TAIL_BYTES])
        self.has_begun = True
        if found != self.value:
            raise ValueError(
                "its digest is not that of what is written there: this line was changed, or lines above it "
                "were changed, doubled, moved or removed"
            )

    def _after(self, body: bytes) -> str:
        digest = hashlib.sha256(self.value.encode())
        digest.update(body)
        return digest.hexdigest()


def has_digest(line: bytes) -> bool:
    """Say whether a whole line ends with a digest, right or wrong."""
    return line[-_TAIL_BYTES:].startswith(_BEGIN) and line.endswith(_END)
