"""From the readings of its trials to the summary of one case at one batch size, with its verdict."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from modeltest.api import CaseSummary, Finding, FindingCode, Overhead, Verdict
from modeltest.findings import sentences
from modeltest.metrics import METRICS
from modeltest.rank_statistics import overhead
from modeltest.statistics import distribution
from modeltest.tasks.interval_width import drifts, noise
from modeltest.tasks.plausibility import UNKNOWN_HARDWARE, Hardware, achieved_rates, implausible
from modeltest.tasks.prompt_sources import summarize_prompts
from modeltest.tasks.readings import BARE, MEASURE, WARMUP, TrialReading, of_phase, values_of
from modeltest.tasks.shapes import Combination


def summarize_case(
    combination: Combination,
    readings: Sequence[TrialReading],
    *,
    expected_trials: int,
    absence: Finding | None = None,
    hardware: Hardware = UNKNOWN_HARDWARE,
) -> CaseSummary:
    """Return the distributions over the measured trials and what they are worth.

    `absence` says why there may be no readings. Times are held against what the `hardware` can do.
    """
    measured = of_phase(MEASURE, readings)
    names = [metric.definition.name for metric in METRICS]
    metrics = {name: distribution(values_of(name, measured)) for name in names}
    drifting = drifts(measured)
    prompts = summarize_prompts(reading.prompts for reading in measured or readings)
    shortest = prompts.shortest if prompts else combination.case.input_tokens
    least = replace(combination, case=replace(combination.case, input_tokens=shortest))
    rates = achieved_rates(least, metrics, hardware)
    faults: list[Finding] = [problem for reading in readings for problem in reading.problems]
    if len(measured) < expected_trials and not faults:
        counts = {"measured": len(measured), "expected": expected_trials}
        faults = [absence or Finding(FindingCode.TRIALS_CUT_SHORT, counts)]
    faults += implausible(rates) if rates else ()
    noisy = noise(metrics, drifting)
    return CaseSummary(
        case=combination.case,
        batch_size=combination.batch_size,
        trials=len(measured),
        warmup_trials=len(of_phase(WARMUP, readings)),
        metrics=metrics,
        peak_memory_bytes=_largest(reading.peak_memory_bytes for reading in readings),
        peak_host_memory_bytes=_largest(reading.peak_host_memory_bytes for reading in readings),
        drift=drifting,
        overhead=_overhead(readings),
        achieved=rates,
        verdict=Verdict.INVALID if faults else Verdict.NOISY if noisy else Verdict.VALID,
        reasons=sentences((*faults, *noisy)),
        reason_codes=(*faults, *noisy),
        prompts=prompts,
    )


def _overhead(readings: Sequence[TrialReading]) -> Overhead | None:
    timed, bare = (
        [reading.elapsed_s for reading in of_phase(phase, readings) if reading.elapsed_s is not None]
        for phase in (MEASURE, BARE)
    )
    return overhead(timed, bare)


def _largest(values: Iterable[int | None]) -> int | None:
    return max((value for value in values if value is not None), default=None)
