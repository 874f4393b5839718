"""What a device can do, what a model needs of it, and how a worker uses the host: known after loading."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class BandwidthPeak:
    """The fastest that data of one size was read, again and again."""

    size_bytes: int
    bytes_per_s: float


@dataclass(frozen=True, slots=True)
class DevicePeaks:
    """The best rates measured on one device, in the dtype of the run.

    Bandwidth is known by size: small data stays in caches, which are several times faster than memory.
    """

    bandwidth: tuple[BandwidthPeak, ...]
    flop_per_s: float

    def bytes_per_s(self, size_bytes: float) -> float | None:
        """Return the best rate for data of `size_bytes` or more; `None` when nothing was measured.

        From the next smaller size that was measured on, so that the answer is never below what is possible.
        """
        from_size = max(
            (peak.size_bytes for peak in self.bandwidth if peak.size_bytes <= size_bytes), default=0
        )
        return max(
            (peak.bytes_per_s for peak in self.bandwidth if peak.size_bytes >= from_size), default=None
        )


@dataclass(frozen=True, slots=True)
class ModelWork:
    """The least work a model must do, counted from its weights; experts a token does not meet are not."""

    parameters: int
    step_weight_bytes: int
    """Weights that every decode step reads: all but tables from which only rows are picked."""

    cache_token_bytes: int
    """Keys and values of one token of one row, read again by every later step."""

    cache_window_tokens: int | None
    """The most tokens a step looks back on; `None`: all of them."""

    token_flop: int
    """2 x the weights of the layers' matrices; attention and the output matrix are left out."""


@dataclass(frozen=True, slots=True)
class ProcessorUse:
    """How the process that owns the model uses the host's processors."""

    threads: int
    """Threads of one operation."""

    cpus: int
    """Processors it may run on."""

    settings: Mapping[str, str] = field(default_factory=dict)
    """The variables of OpenMP and of the mathematical libraries that are set."""
