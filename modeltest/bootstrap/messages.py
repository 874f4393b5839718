"""What the bootstrap tells the user: progress on stderr, and the one error it ends with."""

from __future__ import annotations

import sys


class NotReady(Exception):
    """The machine lacks something; the message says what and what to do."""


def say(message: str) -> None:
    """Print one message to stderr; stdout belongs to the command."""
    sys.stderr.write(f"run.sh: {message}\n")
    sys.stderr.flush()
