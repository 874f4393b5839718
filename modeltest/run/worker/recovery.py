"""Whether an engine that ran out of memory computes as before: the numbers that follow depend on it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from modeltest.api import DeviceError, Engine, EngineError, EngineInfo, Measurement, Trial

SENTINEL_TOKENS = 4
"""New tokens of each row that are asked for again."""

ALLOWED_SHARE = 0.01
ALLOWED_BYTES = 64 << 20
"""What may be in use beyond the most that was in use after a trial that fitted."""


@dataclass(frozen=True, slots=True)
class _Sentinel:
    """A trial and the first tokens it gave, row by row."""

    trial: Trial
    tokens: Mapping[str, tuple[int, ...]]


class Recovery:
    """Remembers a known result and the memory in use, and asks for both after an out-of-memory.

    The known result is that of the smallest batch that fitted, of this worker or an earlier one. Memory is
    that of the device; on the cpu nothing is said, since a process keeps what it once had.
    """

    def __init__(self, engine: Engine, info: EngineInfo) -> None:
        self._engine = engine
        self._has_device_memory = info.device != "cpu"
        self._baseline_bytes: int | None = None
        self._sentinel: _Sentinel | None = None
        self._after: Trial | None = None

    def remember(self, trial: Trial, measurement: Measurement) -> None:
        """Keep what a trial of any worker gave as the known result if it is the smallest yet."""
        if not _is_complete(measurement) or not all(row.output_tokens for row in measurement.completions):
            return
        if self._sentinel is None or _size(trial) < _size(self._sentinel.trial):
            tokens = {row.request_id: row.output_tokens[:SENTINEL_TOKENS] for row in measurement.completions}
            self._sentinel = _Sentinel(trial, tokens)

    def take(self, trial: Trial, measurement: Measurement) -> None:
        """Take in a trial of this worker."""
        self.remember(trial, measurement)
        self._after = trial if measurement.out_of_memory else None
        if _is_complete(measurement):
            self._baseline_bytes = max(self._baseline_bytes or 0, self._used_bytes() or 0) or None

    def check(self) -> None:
        """Before another trial: make sure that the engine is what it was, if the last one ran out of memory.

        Raises: DeviceError when it is not.
        """
        trial, self._after = self._after, None
        if trial is None:
            return
        fault = self._memory_fault() or self._sentinel_fault()
        if fault:
            raise DeviceError(
                f"after batch {trial.batch_size} ran out of memory the engine is not what it was: {fault}"
            )

    def _used_bytes(self) -> int | None:
        return used_bytes(self._engine) if self._has_device_memory else None

    def _memory_fault(self) -> str | None:
        used, baseline_bytes = self._used_bytes(), self._baseline_bytes
        if used is None or baseline_bytes is None or not is_more_than(used, baseline_bytes):
            return None
        return f"{used >> 20} MiB are in use, {baseline_bytes >> 20} MiB were before"

    def _sentinel_fault(self) -> str | None:
        if self._sentinel is None:
            return None
        trial = self._sentinel.trial
        requests = [
            replace(request, max_new_tokens=min(request.max_new_tokens, SENTINEL_TOKENS))
            for request in trial.requests
        ]
        name = f"batch {trial.batch_size}, which fitted before,"
        try:
            batches = list(self._engine.complete(requests, batch_size=trial.batch_size))
        except EngineError as problem:
            return f"{name} fails: {problem}"
        tokens = {row.request_id: row.output_tokens[:SENTINEL_TOKENS] for batch in batches for row in batch}
        return None if tokens == self._sentinel.tokens else f"{name} gives other tokens"


def used_bytes(engine: Engine) -> int | None:
    """Return the memory in use, where the engine knows its peaks."""
    engine.peak_memory_bytes()
    return engine.peak_memory_bytes()  # the peak since just now is what is in use


def is_more_than(used: int, baseline: int) -> bool:
    """Say whether `used` bytes are more than `baseline` bytes and what may be in use beyond them."""
    return used > baseline * (1 + ALLOWED_SHARE) + ALLOWED_BYTES


def _is_complete(measurement: Measurement) -> bool:
    rows = measurement.completions
    return bool(rows) and measurement.error is None and not any(row.error for row in rows)


def _size(trial: Trial) -> int:
    return sum(len(getattr(request.prompt, "ids", ())) + request.max_new_tokens for request in trial.requests)
