"""The max-batch search: the largest batch size whose latency meets a limit. Pure; the caller measures.

Doubling from the lowest batch size brackets the answer, bisection closes the bracket. So no probe is more
than twice the size of one that has worked, and at the end the batch above the answer has been measured too.

The search trusts that latency and memory grow with the batch. Where they do not, the answer is still a batch
that was measured within the limit with the next one measured beyond it, but not surely the largest such.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass

from modeltest.api import Probe, SearchStatus


@dataclass(frozen=True, slots=True)
class Reading:
    """What a batch size gave. Without a latency it did not fit in memory, or failed and tells nothing."""

    latency_ms: float | None
    out_of_memory: bool = False


@dataclass(frozen=True, slots=True)
class SearchOutcome:
    """The answer: `max_batch` was measured within the limit, at `latency_ms`; `probes` in their order.

    Status: FOUND, the batch above is beyond the limit; MEMORY_LIMITED, it does not fit in memory;
    RANGE_LIMITED, it is outside the range; NONE_FEASIBLE, the lowest batch does not do; BORDERLINE, the batch
    that bounds the answer gave no reading, or the search was cut short.
    """

    status: SearchStatus
    max_batch: int | None
    latency_ms: float | None
    probes: tuple[Probe, ...]


def search_max_batch(lowest: int, highest: int, limit_ms: float) -> Generator[int, Reading, SearchOutcome]:
    """Yield batch sizes of `lowest`..`highest` to measure; each `yield` evaluates to what was read.

    No batch size is asked for twice. Over [1, n] at most 2 log2(n) + 2 are.
    Deterministic: equal readings give equal questions.

    Raises: ValueError when the range is empty or begins below 1.
    """
    if not 1 <= lowest <= highest:
        raise ValueError(
            f"a range of batch sizes begins at 1 or above and is not empty: [{lowest}, {highest}]"
        )
    probes: list[Probe] = []
    good, bad = lowest - 1, highest + 1
    while bad - good > 1:
        batch_size = _next_batch_size(good, bad, lowest=lowest, highest=highest)
        probe = judge(batch_size, (yield batch_size), limit_ms)
        probes.append(probe)
        if probe.feasible:
            good = batch_size
        elif batch_size == lowest:
            break
        else:
            bad = batch_size
    return conclude(probes, highest)


def judge(batch_size: int, reading: Reading, limit_ms: float) -> Probe:
    """Return `reading` as a probe: feasible when there is a latency and it is within the limit."""
    latency_ms = reading.latency_ms
    is_feasible = not reading.out_of_memory and latency_ms is not None and latency_ms <= limit_ms
    return Probe(batch_size, latency_ms, is_feasible, reading.out_of_memory)


def conclude(probes: list[Probe], highest: int) -> SearchOutcome:
    """Return what `probes` prove, also when the search was cut short after them."""
    best = max((probe for probe in probes if probe.feasible), key=_batch_size, default=None)
    above = [probe for probe in probes if best is None or probe.batch_size > best.batch_size]
    bound = min(above, key=_batch_size, default=None)
    return SearchOutcome(
        status=_status(best, bound, highest),
        max_batch=best.batch_size if best else None,
        latency_ms=best.latency_ms if best else None,
        probes=tuple(probes),
    )


def _next_batch_size(good: int, bad: int, *, lowest: int, highest: int) -> int:
    if good < lowest:
        return lowest
    if bad > highest:
        return min(2 * good, highest)
    return (good + bad) // 2


def _status(best: Probe | None, bound: Probe | None, highest: int) -> SearchStatus:
    if best is not None and best.batch_size == highest:
        return SearchStatus.RANGE_LIMITED
    if bound is None or (bound.latency_ms is None and not bound.out_of_memory):
        return SearchStatus.BORDERLINE
    if best is None:
        return SearchStatus.NONE_FEASIBLE
    if bound.batch_size != best.batch_size + 1:
        return SearchStatus.BORDERLINE
    return SearchStatus.MEMORY_LIMITED if bound.out_of_memory else SearchStatus.FOUND


def _batch_size(probe: Probe) -> int:
    return probe.batch_size
