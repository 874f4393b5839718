"""What the search asks for and what it is sent: one trial at a time."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Ask:
    """One trial to run. A screen decodes few tokens; without screens, a batch's first trial is a warm-up."""

    batch_size: int
    is_screen: bool = False
    is_warmup: bool = False


@dataclass(frozen=True, slots=True)
class Reading:
    """What a trial gave. Without a latency it ran out of memory, or failed and tells nothing.

    `memory_limit_bytes` is what the engine may use at most, in the terms of `peak_memory_bytes`.
    """

    latency_ms: float | None
    peak_memory_bytes: int | None = None
    memory_limit_bytes: int | None = None
    out_of_memory: bool = False


@dataclass(frozen=True, slots=True)
class Effort:
    """How many trials of full length a batch size takes.

    `answer_trials` at the answer and `bound_trials` at the batch above it are the certificate; after
    `most_trials` a batch size that is still open is borderline.
    """

    answer_trials: int = 5
    bound_trials: int = 3
    most_trials: int = 7


FULL_EFFORT = Effort()
QUICK_EFFORT = Effort(answer_trials=2, bound_trials=2, most_trials=3)


@dataclass(frozen=True, slots=True)
class SearchRange:
    """The batch sizes that may be used, both ends included.

    `too_large` is the smallest batch size known to run out of memory before the search begins.

    Raises: ValueError when the range is empty or begins below 1.
    """

    lowest: int
    highest: int
    too_large: int | None = None

    def __post_init__(self) -> None:
        if not 1 <= self.lowest <= self.highest:
            raise ValueError(
                "a range of batch sizes begins at 1 or above and is not empty: "
                f"[{self.lowest}, {self.highest}]"
            )
