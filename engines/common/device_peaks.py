"""The best rates of a device, measured in about a second: bandwidth by size of data, and the matrix rate.

They say whether times can be right. So they are what the device reaches under the best of conditions: the
same data read again and again, in large pieces, and square matrices.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import cycle
from typing import Any

from engines.common.device import empty_cache, is_out_of_memory, processor_use, synchronize
from engines.common.memory import free_bytes
from modeltest.api import BandwidthPeak, DevicePeaks, RunSpec

SIZES = tuple(1 << exponent for exponent in (18, 20, 22, 24, 26, 28))
"""Bytes: from what fits in a core's cache to more than any cache holds."""

LARGE_SIZES = (1 << 30, 1 << 32)
"""Bytes, on an accelerator: its caches are larger, and so are its models."""

SIDES = (256, 512, 1024, 2048, 4096, 8192)
"""Of the square matrices; a product that takes longer than `_LONG_S` is the last."""

_CHUNK_S = 0.004
"""Calls are timed together until they take this long: reading the clock, or waiting for a device, costs."""

_ENOUGH_S = 0.03
"""After this time the best call so far is believed to be the best."""

_PATIENCE = 10
"""Beside other work it takes so many times as long until some call was not interrupted."""

_BUSY_SHARE = 0.5
"""Of the processors, on average over the last minute: with more than this, others work too."""

_LONG_S = 0.01

_PIECE_BYTES = 1 << 22
"""On the cpu large data is timed in pieces, one after the other so that no cache keeps them: a piece takes
less time than other work is given at once, and the best of them was read without any."""

_COLUMNS = 1024
_FREE_SHARE = 4
"""Data may take one part in so many of the memory that is free."""


def peaks_for(spec: RunSpec, device: str, dtype: Any) -> tuple[DevicePeaks | None, tuple[str, ...]]:
    """Return the peaks where times of `spec` are held against them, or a note that says why there are none.

    Those of a max-batch search are not: what counts there is which batch is slower than a limit.
    """
    if not spec.cases or spec.options.batch_ranges:
        return None, ()
    try:
        return measure_peaks(device, dtype), ()
    except Exception as problem:
        if not (is_out_of_memory(problem) or isinstance(problem, (RuntimeError, TypeError))):
            raise
        reason = " ".join(f"{type(problem).__name__}: {problem}".split())
    empty_cache(device)
    return None, (f"peaks of the device are not known: {reason:.200}",)


def measure_peaks(device: str, dtype: Any) -> DevicePeaks:
    """Measure `device` with `dtype`, a torch dtype.

    Raises: RuntimeError for a dtype that the device cannot multiply.
    """
    import torch

    with torch.inference_mode():
        bandwidth = tuple(BandwidthPeak(size, _bandwidth(device, dtype, size)) for size in _sizes(device))
        peaks = DevicePeaks(bandwidth, max(_matrix_rates(device, dtype)))
    empty_cache(device)
    return peaks


def _sizes(device: str) -> tuple[int, ...]:
    sizes = SIZES if device == "cpu" else SIZES + LARGE_SIZES
    free = free_bytes(device)
    most = 0 if free is None else free // _FREE_SHARE
    return tuple(size for size in sizes if size <= most) or sizes[:1]


def _bandwidth(device: str, dtype: Any, size_bytes: int) -> float:
    """Return the best of three ways to read: summed, as the matrix of a product with a vector, and copied."""
    import torch

    numbers: Any = torch.ones(size_bytes // 4, dtype=torch.float32, device=device)
    piece_bytes = min(size_bytes, _PIECE_BYTES) if device == "cpu" else size_bytes
    vector = torch.ones(_COLUMNS, dtype=dtype, device=device)
    ways = zip(*(_ways_to_read(piece, vector) for piece in numbers.split(piece_bytes // 4)), strict=True)
    return piece_bytes / min(_best_s(device, of_pieces) for of_pieces in ways)


def _ways_to_read(numbers: Any, vector: Any) -> tuple[Callable[[], Any], ...]:
    import torch

    matrix = numbers.view(vector.dtype).view(-1, _COLUMNS)
    half = len(numbers) // 2
    return (
        numbers.sum,
        partial(torch.mv, matrix, vector),
        partial(numbers[half:].copy_, numbers[:half]),  # one half of the bytes is read, the other written
    )


def _matrix_rates(device: str, dtype: Any) -> Iterator[float]:
    """Yield the rate of square products, each side twice the one before."""
    import torch

    for side in SIDES:
        one = torch.full((side, side), 0.5, dtype=dtype, device=device)
        other = torch.full((side, side), 0.5, dtype=dtype, device=device)
        # A model's layers multiply with a transposed matrix, for which some dtypes have another kernel.
        ways = (partial(torch.mm, one, other), partial(torch.nn.functional.linear, one, other))
        seconds = min(_best_s(device, [way]) for way in ways)
        yield 2 * side**3 / seconds
        if seconds > _LONG_S:
            return


def _best_s(device: str, works: Sequence[Callable[[], Any]]) -> float:
    """Return the shortest time of one call, all of `works` in turn; a single one in chunks that grow."""
    for work in works:
        work()  # the first call allocates and compiles
    turns = cycle(works)
    calls, done, spent_s, best_s = 1, 0, 0.0, float("inf")
    enough_s = _ENOUGH_S * (_PATIENCE if device == "cpu" and _is_busy() else 1)
    while spent_s < enough_s or done < len(works):
        chunk_s = _chunk_s(device, next(turns), calls)
        best_s = min(best_s, chunk_s / calls)
        spent_s += chunk_s
        done += 1
        if chunk_s < _CHUNK_S and len(works) == 1:
            calls *= 4
    return best_s


def _is_busy() -> bool:
    return os.getloadavg()[0] > _BUSY_SHARE * processor_use().cpus


def _chunk_s(device: str, work: Callable[[], Any], calls: int) -> float:
    synchronize(device)
    begin = time.perf_counter_ns()
    for _ in range(calls):
        work()
    synchronize(device)
    return (time.perf_counter_ns() - begin) / 1e9
