"""Whether the numbers of a run, or of a part of it, may be used."""

from __future__ import annotations

from enum import Enum


class Verdict(str, Enum):
    """Whether the numbers of a run may be used."""

    VALID = "VALID"
    NOISY = "NOISY"
    INVALID = "INVALID"
