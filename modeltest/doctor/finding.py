"""What a check found."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class State(str, Enum):
    """How a check ended."""

    OK = "ok"
    WARNING = "warning"
    """It works, but not as it should."""

    WRONG = "wrong"
    """It is there and will not work."""

    ABSENT = "absent"
    SKIPPED = "skipped"
    """Nothing was named that could be checked."""


@dataclass(frozen=True, slots=True)
class Finding:
    """The outcome of one check: what was found and, where something is amiss, the command that mends it."""

    name: str
    state: State
    said: str
    mend: str = ""

    @property
    def blocks(self) -> bool:
        """Whether a run would fail because of it."""
        return self.state in (State.WRONG, State.ABSENT)

    @property
    def line(self) -> str:
        """The finding as one line."""
        text = f"{self.state.value:<8} {self.name:<20} {self.said}"
        return f"{text} -> {self.mend}" if self.mend else text
