"""The trials of one case at one batch size: warm-up until it is steady, then as many as precision needs.

What comes next depends on the measurements so far and on nothing else, above all no clock: a run that is
resumed sends the journalled measurements again and must be asked for the same trials.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace

from modeltest.api import Capability, EngineInfo, Measurement, RunSpec, Trial
from modeltest.tasks.interval_width import has_settled, is_precise
from modeltest.tasks.prompt_sources import CaseInputs
from modeltest.tasks.readings import BARE, MEASURE, WARMUP, TrialReading, of_phase, read_trial
from modeltest.tasks.shapes import Combination

REQUIRED_CAPABILITIES = frozenset({Capability.GENERATE, Capability.TOKEN_TIMES, Capability.IGNORE_EOS})

MIN_TRIALS = 5
MAX_TRIALS = 20
MAX_WARMUP_TRIALS = 5
QUICK_TRIALS = 3
BARE_AFTER = (1, 3, 5)


@dataclass(frozen=True, slots=True)
class TrialPlan:
    """How often the batch of a case is repeated.

    `bare_after` says after how many measured trials one without instrumentation comes: between them, so that
    a drift does not look like overhead. Once the batches took `budget_s` together, only what is indispensable
    is run: a warm-up, the fewest trials and one bare one.
    """

    min_trials: int = MIN_TRIALS
    max_trials: int = MAX_TRIALS
    max_warmup_trials: int = MAX_WARMUP_TRIALS
    bare_after: tuple[int, ...] = BARE_AFTER
    budget_s: float = 300.0


def plan_trials(spec: RunSpec, engine: EngineInfo | None, *, least: int = 0) -> TrialPlan:
    """Return how often `spec` wants each case repeated; a quick run has a fixed number of trials.

    At least `least`, for prompts that are all to be asked. There are bare trials only where `engine` can do
    without its instrumentation.
    """
    bare = engine is not None and engine.times_end_alone
    if spec.quick:
        trials = max(spec.min_trials or QUICK_TRIALS, least)
        return TrialPlan(trials, trials, bare_after=(2,) if bare else (), budget_s=spec.case_budget_s)
    fewest = max(spec.min_trials or MIN_TRIALS, least)
    return TrialPlan(
        fewest,
        max(fewest, MAX_TRIALS),
        bare_after=BARE_AFTER if bare else (),
        budget_s=spec.case_budget_s,
    )


def next_phase(readings: Sequence[TrialReading], plan: TrialPlan) -> str | None:
    """Return the phase of the trial after `readings`; `None` when they suffice or one failed."""
    if any(reading.has_failed for reading in readings):
        return None
    warmup, measured, bare = (of_phase(phase, readings) for phase in (WARMUP, MEASURE, BARE))
    is_spent = sum(reading.elapsed_s or 0.0 for reading in readings) >= plan.budget_s
    if not measured and not _is_warm(warmup, plan, is_spent=is_spent):
        return WARMUP
    due = sum(len(measured) >= place for place in plan.bare_after)
    if len(bare) < (min(due, 1) if is_spent else due):
        return BARE
    if len(measured) < plan.min_trials:
        return MEASURE
    if is_spent or len(measured) >= plan.max_trials or is_precise(measured):
        return None
    return MEASURE


def run_trials(
    combination: Combination, plan: TrialPlan, *, inputs: CaseInputs
) -> Generator[Trial, Measurement, tuple[TrialReading, ...]]:
    """Yield the trials of `combination` in turn and return what they gave; stop after one that failed.

    Trials are numbered from 0 through all phases, so that no two of them share a number.
    """
    readings: list[TrialReading] = []
    while (phase := next_phase(readings, plan)) is not None:
        number = len(readings)
        measured = sum(reading.phase == MEASURE for reading in readings)
        submitted = inputs.of_trial(number, measured if phase == MEASURE else measured - number - 1)
        requests = submitted.requests
        if phase == BARE:
            requests = tuple(replace(request, only_end_timed=True) for request in requests)
        measurement = yield Trial(
            case_index=combination.case_index,
            batch_size=combination.batch_size,
            trial=number,
            phase=phase,
            requests=requests,
            prompts=submitted.prompts,
        )
        readings.append(read_trial(measurement, combination.case))
    return tuple(readings)


def _is_warm(warmup: Sequence[TrialReading], plan: TrialPlan, *, is_spent: bool) -> bool:
    if len(warmup) >= plan.max_warmup_trials or has_settled(warmup):
        return True
    return is_spent and bool(warmup)
