"""What the plots of a timed run read from its journal, in one pass: every trial's numbers, not its tokens."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from statistics import median

from modeltest.api import Measurement
from modeltest.metrics import METRICS

MEASURE = "measure"
WARMUP = "warmup"

_NS_PER_MS = 1e6
_SHOWN = ("ttft_ms", "tpot_ms", "e2e_s", "non_first_token_ms")


@dataclass(frozen=True, slots=True)
class TrialNumbers:
    """One trial: its metrics by name, and the gap before each token but the first, the median over rows."""

    trial: int
    phase: str
    metrics: dict[str, float | None]
    gaps_ms: Sequence[float] = field(repr=False)


def read_trials(measurements: Iterable[Measurement]) -> dict[tuple[int, int], list[TrialNumbers]]:
    """Return the timed trials by (case index, batch size), in the order of measurement.

    Bare trials are left out. A trial that was measured again, after a restart, counts once: the last time.
    """
    trials: dict[tuple[int, int], dict[int, TrialNumbers]] = {}
    for measurement in measurements:
        if measurement.phase in (MEASURE, WARMUP):
            found = trials.setdefault((measurement.case_index, measurement.batch_size), {})
            found[measurement.trial] = _numbers(measurement)
    return {key: list(found.values()) for key, found in trials.items()}


def of_phase(phase: str, trials: Iterable[TrialNumbers]) -> list[TrialNumbers]:
    """Return the trials of `phase`."""
    return [trial for trial in trials if trial.phase == phase]


def _numbers(measurement: Measurement) -> TrialNumbers:
    metrics = {
        metric.definition.name: metric.compute(measurement)
        for metric in METRICS
        if metric.definition.name in _SHOWN
    }
    return TrialNumbers(measurement.trial, measurement.phase, metrics, _gaps_ms(measurement))


def _gaps_ms(measurement: Measurement) -> list[float]:
    """Return the gaps by token index, as far as every row has one."""
    rows = [row.token_times_ns for row in measurement.completions if row.error is None and row.token_times_ns]
    # The rows of a static batch get their tokens at the same instants: one stands for all.
    distinct = list(dict.fromkeys(rows))
    length = min(map(len, distinct), default=0)
    return [
        median((row[index] - row[index - 1]) / _NS_PER_MS for row in distinct) for index in range(1, length)
    ]
