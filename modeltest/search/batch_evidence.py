"""Everything measured of one batch size so far."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from modeltest.search.sequential_test import NO_SPREAD, Spread, spread, undisturbed
from modeltest.search.trial_plan import Ask, Reading


@dataclass(slots=True)
class BatchEvidence:
    """The readings of one batch size, each kind in its order."""

    batch_size: int
    screens_ms: list[float] = field(default_factory=list)
    warmups_ms: list[float] = field(default_factory=list)
    trials_ms: list[float] = field(default_factory=list)
    scatter: Spread = NO_SPREAD
    """Of `trials_ms`, a disturbed one left out."""

    peak_memory_bytes: int | None = None
    """Largest of the trials of full length."""

    out_of_memory: bool = False
    has_failed: bool = False

    @property
    def has_ended(self) -> bool:
        """Whether no trial more may be run."""
        return self.out_of_memory or self.has_failed

    @property
    def timed(self) -> int:
        """How many trials of any kind gave a latency."""
        return len(self.screens_ms) + len(self.warmups_ms) + len(self.trials_ms)

    @property
    def warm_screens_ms(self) -> Sequence[float]:
        """The screens but the first, which found everything cold."""
        return self.screens_ms[1:]

    def add(self, ask: Ask, reading: Reading) -> None:
        """Note what a trial gave."""
        if reading.out_of_memory or reading.latency_ms is None or reading.latency_ms <= 0:
            self.out_of_memory |= reading.out_of_memory
            self.has_failed |= not reading.out_of_memory
            return
        kind = self.screens_ms if ask.is_screen else self.warmups_ms if ask.is_warmup else self.trials_ms
        kind.append(reading.latency_ms)
        if kind is self.trials_ms:
            self.scatter = spread(undisturbed(kind))
        if not ask.is_screen and reading.peak_memory_bytes is not None:
            self.peak_memory_bytes = max(self.peak_memory_bytes or 0, reading.peak_memory_bytes)
