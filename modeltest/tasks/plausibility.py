"""Whether a device can have been as fast as the times say: rates implied, beside the measured peaks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from modeltest.api import (
    Achieved,
    Case,
    Distribution,
    EngineInfo,
    Finding,
    FindingCode,
    ModelWork,
    RunSpec,
)
from modeltest.tasks.shapes import Combination

TOLERANCE = 0.3
"""By so much a rate may exceed its peak: clock rates change, and other work may have slowed the peak's own
measurement. Times that are wrong (a device not waited for, tokens not computed) are wrong by more."""

_MS_PER_S = 1000


@dataclass(frozen=True, slots=True)
class Hardware:
    """What gave the times of a case: an engine, and how many devices worked together for it."""

    engine: EngineInfo | None = None
    devices: int = 1

    @staticmethod
    def of(engine: EngineInfo | None, spec: RunSpec) -> Hardware:
        """Return the hardware of a run; one device where the words leave it open."""
        return Hardware(engine, max(1, spec.world_size))


UNKNOWN_HARDWARE = Hardware()


def achieved_rates(
    combination: Combination, metrics: Mapping[str, Distribution], hardware: Hardware
) -> Achieved | None:
    """Return the rates that the medians imply; `None` where the engine does not know work and peaks.

    Of a decode step, its share of all bytes that must be read: the weights once, and the keys and values of
    all rows so far. Its peak is that of data of this size, for small data stays in caches. Devices work
    together, so that each reads its share.
    """
    engine, devices = hardware.engine, hardware.devices
    if engine is None or engine.work is None or engine.peaks is None:
        return None
    work, peaks = engine.work, engine.peaks
    step_bytes = decode_step_bytes(combination.case, combination.batch_size, work)
    peak_bytes_per_s = peaks.bytes_per_s(step_bytes / devices)
    flop = work.token_flop * combination.batch_size * combination.case.input_tokens
    return Achieved(
        decode_bytes_per_s=_rate(step_bytes, metrics["non_first_token_ms"].median),
        peak_bytes_per_s=None if peak_bytes_per_s is None else devices * peak_bytes_per_s,
        prefill_flop_per_s=_rate(flop, metrics["prefill_total_ms"].median),
        peak_flop_per_s=devices * peaks.flop_per_s,
    )


def decode_step_bytes(case: Case, batch_size: int, work: ModelWork) -> float:
    """Return the bytes that a decode step of `case` must read, the mean over its steps."""
    steps = range(1, case.output_tokens)
    window = work.cache_window_tokens or case.input_tokens + case.output_tokens
    looked_back = sum(min(case.input_tokens + step, window) for step in steps) / len(steps) if steps else 0
    return work.step_weight_bytes + batch_size * work.cache_token_bytes * looked_back


def implausible(rates: Achieved) -> tuple[Finding, ...]:
    """Return what no device like the one measured can have done."""
    of_rates = (
        (FindingCode.DECODE_IMPLAUSIBLE, rates.decode_bytes_per_s, rates.peak_bytes_per_s),
        (FindingCode.PREFILL_IMPLAUSIBLE, rates.prefill_flop_per_s, rates.peak_flop_per_s),
    )
    return tuple(
        Finding(code, {"rate": rate, "peak": peak})
        for code, rate, peak in of_rates
        if rate is not None and peak is not None and rate > peak * (1 + TOLERANCE)
    )


def _rate(amount: float, time_ms: float | None) -> float | None:
    return amount * _MS_PER_S / time_ms if time_ms and amount else None
