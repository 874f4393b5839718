"""Whether the numbers of a run, or of a part of it, may be used."""

from __future__ import annotations

from enum import Enum


class Verdict(str, Enum):
    """Whether the numbers of a run may be used."""

    VALID = "VALID"
    NOISY = "NOISY"
    SUSPECT = "SUSPECT"
    """As they were measured, but nothing they are named after: accuracy that guessing would beat."""

    INVALID = "INVALID"

    @property
    def exit_status(self) -> int:
        """Exit status of a run that came to its end with this verdict."""
        return 1 if self is Verdict.INVALID else 0
