"""Plain values out of JSON that a server wrote: each is of its kind, or is not there. Pure."""

from __future__ import annotations

import math
from typing import Any

_SHOWN_CHARACTERS = 120


def as_ids(value: Any) -> tuple[int, ...] | None:
    """Return a list of token ids; `None` for anything else."""
    if isinstance(value, list) and all(type(token) is int for token in value):
        return tuple(value)
    return None


def as_count(value: Any) -> int | None:
    """Return a number of things; `None` for anything else."""
    return value if type(value) is int and value >= 0 else None


def is_logprob(value: Any) -> bool:
    """Say whether a value is a number that may be a log-probability."""
    return type(value) in (int, float) and not math.isnan(value)


def message(value: Any) -> str:
    """Return the message of a failure, or the failure itself, for a line of text."""
    said = value.get("message") if isinstance(value, dict) else None
    return " ".join(str(said or value).split())[:_SHOWN_CHARACTERS]
