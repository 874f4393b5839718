"""`performance`: latency and throughput of each case at each batch size."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Mapping

from modeltest.api import (
    Argument,
    Capability,
    CaseSummary,
    EngineInfo,
    Measurement,
    Mode,
    PerformanceSummary,
    RunSpec,
    Trial,
)
from modeltest.tasks.case_summary import read_trials, summarize_case
from modeltest.tasks.inputs import ordinary_token_ids
from modeltest.tasks.shapes import Combination, check_batch_sizes, check_cases, check_context
from modeltest.tasks.trials import REQUIRED_CAPABILITIES, run_trials


class Performance:
    """Times every case at every batch size: one warm-up, then five trials, or three of a quick run.

    After a batch that ran out of memory, the same case is not tried at that batch size or above.
    """

    name = "performance"
    title = "Latency and throughput"
    modes = (Mode("performance", "performance", "", (Argument.CASES, Argument.BATCH, Argument.PREFILL)),)

    def check(self, spec: RunSpec) -> None:
        """Refuse shapes that cannot be timed.

        Raises: SpecError, PrerequisiteError.
        """
        check_cases(spec)
        check_batch_sizes(spec)

    def requires(self, spec: RunSpec) -> frozenset[Capability]:
        """Return what the engine must be capable of."""
        return REQUIRED_CAPABILITIES

    def trials(self, spec: RunSpec, engine: EngineInfo) -> Generator[Trial, Measurement, None]:
        """Yield the trials of all combinations, in the order asked for.

        Raises: SpecError for a case longer than the model's context.
        """
        check_context(spec.cases, engine)
        token_ids = ordinary_token_ids(engine)
        too_large: dict[int, int] = {}
        for combination in _combinations(spec):
            index, batch_size = combination.case_index, combination.batch_size
            if _is_too_large(combination, too_large):
                continue
            readings = yield from run_trials(
                combination, _measured_trials(spec), seed=spec.seed, token_ids=token_ids
            )
            if any(reading.out_of_memory for reading in readings):
                too_large[index] = batch_size

    def summarize_measurements(
        self, measurements: Iterable[Measurement], spec: RunSpec
    ) -> PerformanceSummary:
        """Return one summary per combination asked for; one that was not measured is INVALID."""
        readings = read_trials(measurements, spec.cases)
        too_large: dict[int, int] = {}
        cases: list[CaseSummary] = []
        for combination in _combinations(spec):
            index, batch_size = combination.case_index, combination.batch_size
            found = readings.get((index, batch_size), ())
            absence = ""
            if _is_too_large(combination, too_large):
                absence = f"not measured: batch {too_large[index]} ran out of memory"
            cases.append(
                summarize_case(combination, found, expected_trials=_measured_trials(spec), absence=absence)
            )
            if any(reading.out_of_memory for reading in found):
                too_large[index] = batch_size
        return PerformanceSummary(tuple(cases))


def _combinations(spec: RunSpec) -> Iterator[Combination]:
    for index, case in enumerate(spec.cases):
        for batch_size in spec.batch_sizes_of(index):
            yield Combination(index, case, batch_size)


def _is_too_large(combination: Combination, too_large: Mapping[int, int]) -> bool:
    limit = too_large.get(combination.case_index)
    return limit is not None and combination.batch_size >= limit


def _measured_trials(spec: RunSpec) -> int:
    return 3 if spec.quick else 5
