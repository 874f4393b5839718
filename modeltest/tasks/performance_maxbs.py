"""`performance_maxbs`: the largest batch whose time per token after the first meets a limit."""

from __future__ import annotations

import math
from collections.abc import Generator, Iterable, Mapping, Sequence

from modeltest.api import (
    Argument,
    BatchRange,
    Capability,
    Case,
    CaseSummary,
    EngineInfo,
    MaxBatchCase,
    MaxBatchSummary,
    Measurement,
    Mode,
    Probe,
    RunSpec,
    SpecError,
    Trial,
    Verdict,
)
from modeltest.search import Reading, SearchOutcome, conclude, judge, search_max_batch
from modeltest.tasks.case_summary import is_finished, summarize_case
from modeltest.tasks.inputs import ordinary_token_ids
from modeltest.tasks.prompt_sources import RandomPrompts
from modeltest.tasks.readings import TrialReading, read_trials
from modeltest.tasks.shapes import Combination, check_cases, check_context, describe
from modeltest.tasks.trials import REQUIRED_CAPABILITIES, TrialPlan, run_trials

_Readings = Mapping[int, tuple[TrialReading, ...]]


class PerformanceMaxBatch:
    """Searches each case for its max batch; a probe is one warm-up and three trials, or one of a quick run.

    The latency of a probe is the median over its trials of the non-first-token time. A probe that gave no
    valid trial is never the answer.
    """

    name = "performance_maxbs"
    title = "Largest batch within a latency limit"
    modes = (
        Mode(
            "performance_maxbs", "performance_maxbs", "", (Argument.CASES, Argument.RANGES, Argument.LIMIT_MS)
        ),
    )

    def check(self, spec: RunSpec) -> None:
        """Refuse shapes, ranges and limits that cannot be searched.

        Raises: SpecError, PrerequisiteError.
        """
        check_cases(spec)
        for case in spec.cases:
            if case.output_tokens < 2:
                raise SpecError(
                    f"case {describe(case)} has no token after the first to limit; give 2 output tokens"
                )
        _check_ranges(spec)
        _limit_ms(spec)

    def requires(self, spec: RunSpec) -> frozenset[Capability]:
        """Return what the engine must be capable of."""
        return REQUIRED_CAPABILITIES

    def trials(self, spec: RunSpec, engine: EngineInfo) -> Generator[Trial, Measurement, None]:
        """Yield the trials of every probe, case by case.

        Raises: SpecError for a case longer than the model's context.
        """
        check_context(spec.cases, engine)
        prompts = RandomPrompts(spec.seed, ordinary_token_ids(engine))
        for index, case in enumerate(spec.cases):
            search = _search(spec, index)
            batch_size: int | None = next(search)
            while batch_size is not None:
                combination = Combination(index, case, batch_size)
                readings = yield from run_trials(
                    combination, _plan(spec), inputs=prompts.inputs_of(combination)
                )
                try:
                    batch_size = search.send(_read_probe(_summarize(combination, readings, spec), readings))
                except StopIteration:
                    batch_size = None

    def summarize_measurements(
        self, measurements: Iterable[Measurement], spec: RunSpec, engine: EngineInfo | None = None
    ) -> MaxBatchSummary:
        """Return the answer of every case, by asking the search again and answering from `measurements`.

        A case whose search was cut short is BORDERLINE, with the best batch measured so far.
        """
        readings = read_trials(measurements, spec.cases)
        cases = []
        for index, case in enumerate(spec.cases):
            of_case = {size: trials for (owner, size), trials in readings.items() if owner == index}
            cases.append(_summarize_search(index, case, of_case, spec))
        return MaxBatchSummary(tuple(cases))


def _summarize_search(index: int, case: Case, readings: _Readings, spec: RunSpec) -> MaxBatchCase:
    measured = {
        size: _summarize(Combination(index, case, size), trials, spec) for size, trials in readings.items()
    }
    outcome = _replay(index, readings, measured, spec)
    bounds = _range(spec, index)
    return MaxBatchCase(
        case=case,
        lowest=bounds.lowest,
        highest=bounds.highest,
        limit_ms=_limit_ms(spec),
        status=outcome.status,
        max_batch=outcome.max_batch,
        latency_ms=outcome.latency_ms,
        probes=outcome.probes,
        measured=tuple(measured.values()),
    )


def _replay(
    index: int, readings: _Readings, measured: Mapping[int, CaseSummary], spec: RunSpec
) -> SearchOutcome:
    search = _search(spec, index)
    probes: list[Probe] = []
    batch_size = next(search)
    try:
        while is_finished(readings.get(batch_size, ()), _measured_trials(spec)):
            reading = _read_probe(measured[batch_size], readings[batch_size])
            probes.append(judge(batch_size, reading, _limit_ms(spec)))
            batch_size = search.send(reading)
    except StopIteration as end:
        outcome: SearchOutcome = end.value
        return outcome
    return conclude(probes, _range(spec, index).highest)


def _read_probe(summary: CaseSummary, readings: Sequence[TrialReading]) -> Reading:
    if any(reading.out_of_memory for reading in readings):
        return Reading(None, out_of_memory=True)
    if summary.verdict is Verdict.INVALID:
        return Reading(None)
    return Reading(summary.metrics["non_first_token_ms"].median)


def _summarize(combination: Combination, readings: Sequence[TrialReading], spec: RunSpec) -> CaseSummary:
    return summarize_case(combination, readings, expected_trials=_measured_trials(spec))


def _search(spec: RunSpec, index: int) -> Generator[int, Reading, SearchOutcome]:
    bounds = _range(spec, index)
    return search_max_batch(bounds.lowest, bounds.highest, _limit_ms(spec))


def _range(spec: RunSpec, index: int) -> BatchRange:
    ranges = spec.options.batch_ranges
    return ranges[0] if len(ranges) == 1 else ranges[index]


def _check_ranges(spec: RunSpec) -> None:
    ranges = spec.options.batch_ranges
    if len(ranges) not in (1, len(spec.cases)):
        raise SpecError(
            f"{len(ranges)} ranges of batch sizes for {len(spec.cases)} cases; "
            "give one for all, or one for each, as [[lo,hi],...]"
        )
    for bounds in ranges:
        if not 1 <= bounds.lowest <= bounds.highest:
            raise SpecError(
                f"no batch size lies in [{bounds.lowest},{bounds.highest}]; "
                "write [lo,hi] with lo at least 1 and hi not below lo"
            )


def _limit_ms(spec: RunSpec) -> float:
    limit_ms = spec.options.latency_limit_ms
    if limit_ms is None or not 0 < limit_ms < math.inf:
        raise SpecError(
            f"the latency limit is {limit_ms}; "
            "give the most milliseconds a token after the first may take, a finite number above 0"
        )
    return limit_ms


def _measured_trials(spec: RunSpec) -> int:
    return 1 if spec.quick else 3


def _plan(spec: RunSpec) -> TrialPlan:
    trials = _measured_trials(spec)
    return TrialPlan(trials, trials, max_warmup_trials=1, bare_after=())
