"""The largest batch size that memory will hold, from the peaks of smaller ones."""

from __future__ import annotations

from collections.abc import Mapping

_APART = 1.5
"""Two batch sizes closer than this factor say little of what one row more takes."""


def largest_that_fits(peaks_bytes: Mapping[int, int], limit_bytes: int | None) -> int | None:
    """Return the largest batch size whose peak would stay within `limit_bytes`; `None` when nothing says.

    `peaks_bytes` has the peak by batch size, all of the same case, in which peak memory is linear in the
    batch (in batch x tokens, and the tokens are the same). The line goes through the largest batch size
    measured and the next that is clearly smaller: where an allocator holds memory back, the peaks of the
    smallest ones are too high and their line is too flat.
    """
    if limit_bytes is None or not peaks_bytes:
        return None
    largest = max(peaks_bytes)
    apart = [size for size in peaks_bytes if size * _APART <= largest]
    if not apart:
        return None
    smaller = max(apart)
    per_row = (peaks_bytes[largest] - peaks_bytes[smaller]) / (largest - smaller)
    if per_row <= 0:
        return None
    # What has been measured does fit, whatever the line says.
    return max(largest, largest + int((limit_bytes - peaks_bytes[largest]) // per_row))
