"""What the ranks of a run tell each other: JSON of a checked shape behind a message authentication code.

Ranks and nodes talk through sockets that others may reach too: torchrun's store asks nobody for a password.
So whatever comes in may be anybody's. It is first held against its authentication code (HMAC-SHA256, with a
secret that only the ranks of this run have), and only then read: as JSON, not as pickled objects, which can
be programs. The code also covers what the message is: who tells it, to whom, as which of how many. Said
again, or in another place, a true message is refused like a false one.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
from collections.abc import Mapping, Sequence
from typing import TypeVar

from modeltest.api import EngineError, PrerequisiteError, RankMessageRefused
from modeltest.plain.contracts import from_plain, to_plain
from modeltest.plain.json_text import parse_published_json

SECRET_VARIABLE = "MODELTEST_RANK_SECRET"
"""Hands the secret to the ranks; over several nodes the user sets it, the same on every node."""

SHORTEST_SECRET = 16
"""Characters: the user's own may be typed, but not guessed."""

_CODE_BYTES = hashlib.sha256().digest_size

T = TypeVar("T")


class Seal:
    """Closes and opens messages with one secret."""

    def __init__(self, secret: str) -> None:
        self._key = secret.encode()

    def close(self, value: object, *, about: str) -> bytes:
        """Return `value` as it is sent; `about` says what it is, and is said alike by who opens it."""
        text = json.dumps(to_plain(value), separators=(",", ":")).encode("ascii")
        return self._code(text, about) + text

    def open(self, sealed: bytes, kind: type[T], *, about: str) -> T:
        """Return the `kind` that `sealed` holds.

        Raises: RankMessageRefused when the secret's owner did not close it about this, or it holds no `kind`.
        """
        code, text = sealed[:_CODE_BYTES], sealed[_CODE_BYTES:]
        if not hmac.compare_digest(code, self._code(text, about)):
            raise RankMessageRefused(
                f"what came as {about!r} is not from a rank of this run, or was said before: {len(sealed)} "
                "bytes, refused unread; somebody else reaches the port, or the nodes have different "
                f"secrets in {SECRET_VARIABLE}"
            )
        try:
            # A rank may well have computed NaN, and says so.
            return from_plain(kind, parse_published_json(text))
        except ValueError as problem:
            raise RankMessageRefused(f"what came as {about!r} has another shape: {problem!s:.200}") from None

    def derived(self, purpose: str, tokens: Sequence[str]) -> str:
        """Return another secret, of this one and what each side has drawn for the occasion."""
        return self._code(json.dumps(list(tokens)).encode(), purpose).hex()

    def _code(self, text: bytes, about: str) -> bytes:
        name = about.encode()
        return hmac.digest(self._key, len(name).to_bytes(8, "big") + name + text, hashlib.sha256)


def fresh_secret() -> str:
    """Return a new random secret."""
    return secrets.token_hex(32)


def shared_secret(variables: Mapping[str, str], nodes: int) -> str:
    """Return the secret that the user gave to all nodes of a run; a node alone draws its own.

    Raises: PrerequisiteError when there is none, or one that could be guessed.
    """
    secret = variables.get(SECRET_VARIABLE, "")
    if nodes == 1 and not secret:
        return fresh_secret()
    if len(secret) < SHORTEST_SECRET:
        state = f"has {len(secret)} characters, fewer than {SHORTEST_SECRET}" if secret else "is not set"
        raise PrerequisiteError(
            f"the {nodes} nodes of this run know each other by a secret, and {SECRET_VARIABLE} {state}: set "
            "it to the same on every node, or type what this command prints with --dry-run, which draws one"
        )
    return secret


def seal_of_ranks(variables: Mapping[str, str]) -> Seal:
    """Return the seal of the ranks of this run, whose launcher has drawn the secret.

    Raises: EngineError where none has.
    """
    secret = variables.get(SECRET_VARIABLE, "")
    if len(secret) < SHORTEST_SECRET:
        raise EngineError(
            f"ranks know each other by a secret, and {SECRET_VARIABLE} is not set here: start several ranks "
            "with modeltest or run.sh, which draws it"
        )
    return Seal(secret)
