"""The trials of one case at one batch size: warm-up of the same shape, then the measured ones."""

from __future__ import annotations

from collections.abc import Generator

from modeltest.api import Capability, Measurement, Trial
from modeltest.tasks.case_summary import MEASURE, WARMUP, TrialReading, read_trial
from modeltest.tasks.prompt_sources import CaseInputs
from modeltest.tasks.shapes import Combination

REQUIRED_CAPABILITIES = frozenset({Capability.GENERATE, Capability.TOKEN_TIMES, Capability.IGNORE_EOS})
WARMUP_TRIALS = 1


def run_trials(
    combination: Combination, measured_trials: int, *, inputs: CaseInputs
) -> Generator[Trial, Measurement, tuple[TrialReading, ...]]:
    """Yield the trials of `combination` in turn and return what they gave; stop after one that failed.

    Trials are numbered from 0, the warm-up first, so that no two of them share a number.
    """
    readings: list[TrialReading] = []
    for number in range(WARMUP_TRIALS + measured_trials):
        turn = number - WARMUP_TRIALS
        submitted = inputs.of_trial(number, turn)
        measurement = yield Trial(
            case_index=combination.case_index,
            batch_size=combination.batch_size,
            trial=number,
            phase=WARMUP if number < WARMUP_TRIALS else MEASURE,
            requests=submitted.requests,
            prompts=submitted.prompts,
        )
        readings.append(read_trial(measurement, combination.case))
        if readings[-1].has_failed:
            break
    return tuple(readings)
