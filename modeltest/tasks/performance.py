"""`performance`: latency and throughput of each case at each batch size."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Mapping, Sequence
from dataclasses import replace

from modeltest.api import (
    Capability,
    CaseSummary,
    EngineInfo,
    Finding,
    FindingCode,
    Measurement,
    MeasurementTask,
    PerformanceSummary,
    RunSpec,
    TokenPrompt,
    Trial,
    modes_named,
)
from modeltest.findings import sentences
from modeltest.tasks.case_summary import summarize_case
from modeltest.tasks.interval_width import overhead_notes, precision_notes, together_notes
from modeltest.tasks.plausibility import Hardware
from modeltest.tasks.prompt_sources import choose_prompts, least_trials
from modeltest.tasks.readings import MEASURE, TrialReading, of_phase, read_trials
from modeltest.tasks.shapes import (
    Combination,
    check_batch_sizes,
    check_cases,
    check_context,
    combinations,
    prefill_capabilities,
)
from modeltest.tasks.trials import REQUIRED_CAPABILITIES, TrialPlan, next_phase, plan_trials, run_trials


class Performance:
    """Times every case at every batch size: warm-up until it settles, then trials until they suffice.

    Prompts are random token ids unless the spec names others. After a batch that ran out of memory, the same
    case is not tried at that batch size or above.
    """

    name = "performance"
    title = "Latency and throughput"
    modes = modes_named("performance")

    def __init__(self, prompts: Sequence[TokenPrompt] | None = None) -> None:
        self._prompts = prompts

    def with_prompts(self, prompts: Sequence[TokenPrompt]) -> MeasurementTask:
        """Return this task with the rows of a dataset."""
        return type(self)(prompts)

    def check(self, spec: RunSpec) -> None:
        """Refuse shapes that cannot be timed.

        Raises: SpecError, PrerequisiteError.
        """
        check_cases(spec, takes_prompts=True)
        check_batch_sizes(spec)

    def requires(self, spec: RunSpec) -> frozenset[Capability]:
        """Return what the engine must be capable of."""
        return REQUIRED_CAPABILITIES | prefill_capabilities(spec)

    def trials(self, spec: RunSpec, engine: EngineInfo) -> Generator[Trial, Measurement, None]:
        """Yield the trials of all combinations, in the order asked for.

        Raises: SpecError for a case longer than the model's context and for prompts that do not suit a case.
        """
        check_context(spec.cases, engine)
        prompts = choose_prompts(spec, engine, self._prompts)
        planned = [(each, prompts.inputs_of(each)) for each in combinations(spec)]
        too_large: dict[int, int] = {}
        for combination, inputs in planned:
            index, batch_size = combination.case_index, combination.batch_size
            if _is_too_large(combination, too_large):
                continue
            readings = yield from run_trials(
                combination, _plan(spec, engine, inputs.available, batch_size), inputs=inputs
            )
            if any(reading.out_of_memory for reading in readings):
                too_large[index] = batch_size

    def summarize_measurements(
        self, measurements: Iterable[Measurement], spec: RunSpec, engine: EngineInfo | None = None
    ) -> PerformanceSummary:
        """Return one summary per combination asked for; one that was not measured is INVALID."""
        readings = read_trials(measurements, spec.cases)
        too_large: dict[int, int] = {}
        cases: list[CaseSummary] = []
        for combination in combinations(spec):
            index, batch_size = combination.case_index, combination.batch_size
            found = readings.get((index, batch_size), ())
            absence = None
            if _is_too_large(combination, too_large):
                larger = {"batch_size": too_large[index]}
                absence = Finding(FindingCode.SMALLER_BATCH_OUT_OF_MEMORY, larger)
            cases.append(_summarize(combination, found, spec, engine, absence=absence))
            if any(reading.out_of_memory for reading in found):
                too_large[index] = batch_size
        return PerformanceSummary(tuple(cases))


def _summarize(
    combination: Combination,
    readings: Sequence[TrialReading],
    spec: RunSpec,
    engine: EngineInfo | None,
    *,
    absence: Finding | None,
) -> CaseSummary:
    plan = _plan(spec, engine, _available(readings), combination.batch_size)
    is_cut_short = next_phase(readings, plan) is not None
    least = max(plan.min_trials, len(of_phase(MEASURE, readings)) + is_cut_short)
    summary = summarize_case(
        combination,
        readings,
        expected_trials=least,
        absence=absence,
        hardware=Hardware.of(engine, spec),
    )
    notes = (
        *precision_notes(readings, summary.metrics),
        *overhead_notes(summary.overhead),
        *together_notes(of_phase(MEASURE, readings)),
    )
    return replace(summary, notes=sentences(notes), note_codes=notes)


def _is_too_large(combination: Combination, too_large: Mapping[int, int]) -> bool:
    limit = too_large.get(combination.case_index)
    return limit is not None and combination.batch_size >= limit


def _available(readings: Sequence[TrialReading]) -> int | None:
    return next((reading.prompts.available for reading in readings if reading.prompts is not None), None)


def _plan(spec: RunSpec, engine: EngineInfo | None, available: int | None, batch_size: int) -> TrialPlan:
    return plan_trials(spec, engine, least=least_trials(spec.options.prompt_source, available, batch_size))
