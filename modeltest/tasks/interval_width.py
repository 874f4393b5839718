"""When trials agree well enough: a warm-up that has settled, intervals that are narrow, and what drifts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from modeltest.api import Distribution, Drift, Finding, FindingCode, Overhead
from modeltest.rank_statistics import drift
from modeltest.statistics import distribution, relative_half_width
from modeltest.tasks.readings import WARMUP, TrialReading, of_phase, values_of

WATCHED = {"tpot_ms": "TPOT", "ttft_ms": "TTFT", "e2e_s": "E2E"}
"""The metrics whose spread decides how often a case is repeated and what it is worth, and their names."""

SETTLED = 0.02
"""Two consecutive warm-up trials that differ by no more than this are steady."""

PRECISE = 0.01
"""Half the width of the 95 % interval of a median, as a fraction of it, at which trials suffice."""

NOISY_CV = 0.05
"""Above this coefficient of variation of a watched metric a case is NOISY."""

DRIFT_DOUBT = 0.01
"""How often a case without any drift may be said to have one, all watched metrics together."""

DRIFT_CHANGE = 0.01
"""A drift matters when it changes a metric by more than this fraction over the trials."""


COSTLY = 0.01
"""Timing every token may cost this fraction of the time."""


def has_settled(warmup: Sequence[TrialReading]) -> bool:
    """Say whether the last two warm-up trials agree in their time per token, or to the only token."""
    difference = _last_difference(warmup)
    return difference is not None and difference <= SETTLED


def is_precise(measured: Sequence[TrialReading]) -> bool:
    """Say whether the intervals of TPOT, TTFT and E2E are narrow; those that are undefined do not count."""
    return not any(_imprecise({name: distribution(values_of(name, measured)) for name in WATCHED}))


def precision_notes(
    readings: Sequence[TrialReading], metrics: Mapping[str, Distribution]
) -> tuple[Finding, ...]:
    """Return what a reader should know of how well the trials agree."""
    notes = []
    warmup = of_phase(WARMUP, readings)
    if warmup and not has_settled(warmup):
        notes.append(_unsettled(warmup))
    wide = tuple(
        Finding(FindingCode.INTERVAL_WIDTH, {"metric": WATCHED[name], "half_width": width})
        for name, width in _imprecise(metrics)
    )
    if wide:
        trials = max(metrics[name].n for name in WATCHED)
        notes.append(
            Finding(FindingCode.INTERVALS_WIDE, {"trials": trials, "widths": wide, "wanted": PRECISE})
        )
    return tuple(notes)


def overhead_notes(cost: Overhead | None) -> tuple[Finding, ...]:
    """Return that timing costs too much, where its interval leaves no doubt of it."""
    if cost is None or cost.low is None or cost.low <= COSTLY:
        return ()
    return (Finding(FindingCode.TIMING_COSTS, {"fraction": cost.fraction, "low": cost.low}),)


def together_notes(measured: Sequence[TrialReading]) -> tuple[Finding, ...]:
    """Return that tokens came in pieces of several: their inner times are not known, and none are made up."""
    together, tokens = (sum(getattr(each, name) for each in measured) for name in ("together", "tokens"))
    return (Finding(FindingCode.TOKENS_TOGETHER, {"share": together / tokens}),) if together else ()


def drifts(measured: Sequence[TrialReading]) -> dict[str, Drift]:
    """Return the drift of each watched metric over the measured trials, where there are enough of them."""
    found = {name: drift(values_of(name, measured)) for name in WATCHED}
    return {name: each for name, each in found.items() if each is not None}


def noise(metrics: Mapping[str, Distribution], drifting: Mapping[str, Drift]) -> tuple[Finding, ...]:
    """Return why a case is NOISY: what varies too much between trials, and what drifts over them."""
    varying = [
        Finding(
            FindingCode.VARIES,
            {"metric": title, "cv": cv, "trials": metrics[name].n, "allowed": NOISY_CV},
        )
        for name, title in WATCHED.items()
        if (cv := metrics[name].cv) is not None and cv > NOISY_CV
    ]
    changing = [
        Finding(
            FindingCode.DRIFTS,
            {"metric": WATCHED[name], "change": found.change, "p_value": found.p_value},
        )
        for name, found in drifting.items()
        if found.p_value <= DRIFT_DOUBT / len(WATCHED) and abs(found.change) > DRIFT_CHANGE
    ]
    return (*varying, *changing)


def _last_difference(warmup: Sequence[TrialReading]) -> float | None:
    """Return by what fraction the last warm-up trial differs from the one before it."""
    if len(warmup) < 2:
        return None
    name = "ttft_ms" if warmup[-1].values["tpot_ms"] is None else "tpot_ms"
    before, last = (reading.values[name] for reading in warmup[-2:])
    return abs(last - before) / before if before and last is not None else None


def _unsettled(warmup: Sequence[TrialReading]) -> Finding:
    difference = _last_difference(warmup)
    if difference is None:
        return Finding(FindingCode.WARMUP_ALONE)
    values = {"trials": len(warmup), "difference": difference, "wanted": SETTLED}
    return Finding(FindingCode.WARMUP_UNSETTLED, values)


def _imprecise(metrics: Mapping[str, Distribution]) -> Iterator[tuple[str, float]]:
    for name in WATCHED:
        width = relative_half_width(metrics[name])
        if width is not None and width > PRECISE:
            yield name, width
