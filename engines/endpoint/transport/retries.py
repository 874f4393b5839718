"""When a request is sent again, and after how long. Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from enum import Enum, auto

FIRST_WAIT_S = 0.5
LONGEST_WAIT_S = 30.0
LONGEST_ASKED_S = 120.0
"""The most that a server's Retry-After is waited for: some name hours."""

MOST_FAILURES = 5
"""Attempts that were answered with a failure or broke off, before the request is given up. Whether the server
is busy (429, 503) or away is not counted: that is a matter of time, not of the request."""

BUSY = frozenset({429, 503})
FAILING = frozenset({408, 500, 502, 504})


class Trouble(Enum):
    """What went wrong with an attempt that may be made again: by then it is known to be over."""

    AWAY = auto()
    """No connection could be made."""

    BROKEN = auto()
    """The connection ended before the answer did."""

    BUSY = auto()
    """429 or 503."""

    FAILED = auto()
    """Another 5xx."""


def trouble_of(status: int) -> Trouble | None:
    """Return what the status of an answer says; `None` where asking again would be answered alike."""
    if status in BUSY:
        return Trouble.BUSY
    return Trouble.FAILED if status in FAILING else None


@dataclass(slots=True)
class Patience:
    """How often and how long one request has been tried."""

    limit_s: float
    begun_s: float
    attempts: int = 0
    failures: int = 0

    def wait_s(
        self, trouble: Trouble, *, now_s: float, draw: float, asked_s: float | None = None
    ) -> float | None:
        """Return how long to wait before the next attempt, or `None` to give up.

        `draw` is a random number from 0 to 1: clients that failed together shall not come back together.
        `asked_s` is what the server asked for.
        """
        self.attempts += 1
        self.failures += trouble in (Trouble.BROKEN, Trouble.FAILED)
        wait = min(LONGEST_WAIT_S, FIRST_WAIT_S * 2 ** min(self.attempts - 1, 16))
        wait *= 0.5 + draw / 2
        if asked_s is not None:
            wait = max(wait, min(asked_s, LONGEST_ASKED_S))
        is_late = now_s + wait - self.begun_s > self.limit_s
        return None if is_late or self.failures >= MOST_FAILURES else wait


def read_retry_after(text: str | None, *, now: datetime | None = None) -> float | None:
    """Return the seconds that a header Retry-After asks for, a number or until a date; `None` without."""
    if text is None:
        return None
    try:
        seconds = float(text)
    except ValueError:
        try:
            date = parsedate_to_datetime(text)
        except (TypeError, ValueError):
            return None
        if date.tzinfo is None:
            date = date.replace(tzinfo=timezone.utc)
        seconds = (date - (now or datetime.now(timezone.utc))).total_seconds()
    return max(0.0, seconds) if math.isfinite(seconds) else None
