"""`performance_maxbs`: the largest batch whose time per token after the first meets a limit."""

from __future__ import annotations

import math
from collections.abc import Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from modeltest.api import (
    BatchRange,
    Capability,
    Case,
    EngineInfo,
    MaxBatchCase,
    MaxBatchSummary,
    Measurement,
    RunSpec,
    SpecError,
    Trial,
    modes_named,
)
from modeltest.search import (
    FULL_EFFORT,
    QUICK_EFFORT,
    Ask,
    Effort,
    Evidence,
    Reading,
    SearchRange,
    search_max_batch,
)
from modeltest.tasks.inputs import ordinary_token_ids, random_requests
from modeltest.tasks.maxbs_summary import summarize_search
from modeltest.tasks.plausibility import Hardware
from modeltest.tasks.readings import MEASURE, WARMUP, TrialReading, read_trial
from modeltest.tasks.shapes import check_cases, check_context, describe
from modeltest.tasks.trials import REQUIRED_CAPABILITIES

SCREEN = "screen"
"""Phase of a trial that decodes few tokens: it guides the search and stays out of the numbers of the case."""

SCREEN_TOKENS = 16
SCREENED_FROM_TOKENS = 4 * SCREEN_TOKENS
"""From here on a screen is so much shorter than the case that it pays."""


class PerformanceMaxBatch:
    """Searches each case for its max batch: `modeltest.search` decides what is run, this says how.

    The latency of a trial is its non-first-token time. A batch with a trial that failed is never the answer.
    """

    name = "performance_maxbs"
    title = "Largest batch within a latency limit"
    modes = modes_named("performance_maxbs")

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
        """Yield the trials of every search, case by case.

        Raises: SpecError for a case longer than the model's context.
        """
        check_context(spec.cases, engine)
        token_ids = ordinary_token_ids(engine)
        searches: list[_Search] = []
        for index in range(len(spec.cases)):
            search = _Search.begin(spec, index, searches)
            searches.append(search)
            asked = search_max_batch(search.bounds, search.evidence)
            ask = next(asked, None)
            while ask is not None:
                measurement = yield search.trial(ask, seed=spec.seed, token_ids=token_ids)
                ask = _answer(asked, _Journalled.read(measurement, search.case).reading)

    def summarize_measurements(
        self, measurements: Iterable[Measurement], spec: RunSpec, engine: EngineInfo | None = None
    ) -> MaxBatchSummary:
        """Return the answer of every case, by asking the search again and answering from `measurements`.

        A case whose search was cut short is BORDERLINE, with the largest batch certified so far, if any.
        """
        journal: dict[int, dict[tuple[int, int], _Journalled]] = {}
        for measurement in measurements:
            of_case = journal.setdefault(measurement.case_index, {})
            # A trial measured again, after a restart, counts once: the last time.
            key = (measurement.batch_size, measurement.trial)
            of_case[key] = _Journalled.read(measurement, spec.cases[measurement.case_index])
        searches: list[_Search] = []
        cases: list[MaxBatchCase] = []
        for index in range(len(spec.cases)):
            search = _Search.begin(spec, index, searches)
            searches.append(search)
            of_case = journal.get(index, {})
            is_finished = search.replay(of_case)
            cases.append(
                summarize_search(
                    search.case,
                    search.bounds,
                    search.evidence,
                    _readings(of_case),
                    is_finished=is_finished,
                    hardware=Hardware.of(engine, spec),
                )
            )
        return MaxBatchSummary(tuple(cases))


@dataclass(frozen=True, slots=True)
class _Journalled:
    """One measurement as the search and the summary of its batch see it."""

    phase: str
    trial: TrialReading
    reading: Reading

    @staticmethod
    def read(measurement: Measurement, case: Case) -> _Journalled:
        shape = _screened(case) if measurement.phase == SCREEN else case
        trial = read_trial(measurement, shape)
        latency_ms = trial.values["non_first_token_ms"]
        is_sound = not (trial.has_failed or trial.problems)
        return _Journalled(
            measurement.phase,
            trial,
            Reading(
                latency_ms if is_sound else None,
                peak_memory_bytes=trial.peak_memory_bytes,
                memory_limit_bytes=measurement.memory_limit_bytes,
                out_of_memory=trial.out_of_memory,
            ),
        )


@dataclass(frozen=True, slots=True)
class _Search:
    index: int
    case: Case
    bounds: SearchRange
    evidence: Evidence

    @staticmethod
    def begin(spec: RunSpec, index: int, before: Sequence[_Search]) -> _Search:
        case, given = spec.cases[index], _range(spec, index)
        return _Search(
            index,
            case,
            SearchRange(given.lowest, given.highest, too_large=_too_large(case, before)),
            Evidence(_limit_ms(spec), _effort(spec), can_screen=case.output_tokens >= SCREENED_FROM_TOKENS),
        )

    def trial(self, ask: Ask, *, seed: int, token_ids: Sequence[int]) -> Trial:
        """Return the trial that answers `ask`; the trials of a batch size are numbered across phases."""
        number = self.evidence.of(ask.batch_size).timed
        shape = _screened(self.case) if ask.is_screen else self.case
        return Trial(
            case_index=self.index,
            batch_size=ask.batch_size,
            trial=number,
            phase=_phase(ask),
            requests=random_requests(shape, ask.batch_size, number, seed=seed, token_ids=token_ids),
        )

    def replay(self, journal: Mapping[tuple[int, int], _Journalled]) -> bool:
        """Answer the search from `journal`; return whether it had all the answers."""
        asked = search_max_batch(self.bounds, self.evidence)
        ask = next(asked, None)
        while ask is not None:
            found = journal.get((ask.batch_size, self.evidence.of(ask.batch_size).timed))
            if found is None or found.phase != _phase(ask):
                return False
            ask = _answer(asked, found.reading)
        return True


def _answer(asked: Generator[Ask, Reading, None], reading: Reading) -> Ask | None:
    try:
        return asked.send(reading)
    except StopIteration:
        return None


def _readings(journal: Mapping[tuple[int, int], _Journalled]) -> dict[int, tuple[TrialReading, ...]]:
    """Return the trials of full length by batch size; a screen only where it failed, to say why."""
    found: dict[int, tuple[TrialReading, ...]] = {}
    for (batch_size, _), each in journal.items():
        if each.phase != SCREEN or each.trial.problems:
            found[batch_size] = (*found.get(batch_size, ()), each.trial)
    return found


def _too_large(case: Case, before: Sequence[_Search]) -> int | None:
    """Return the smallest batch that ran out of memory in a case with no more tokens than `case`."""
    found = [
        batch.batch_size
        for search in before
        if search.case.input_tokens <= case.input_tokens and search.case.output_tokens <= case.output_tokens
        for batch in search.evidence
        if batch.out_of_memory
    ]
    return min(found, default=None)


def _screened(case: Case) -> Case:
    return replace(case, output_tokens=SCREEN_TOKENS)


def _phase(ask: Ask) -> str:
    if ask.is_screen:
        return SCREEN
    return WARMUP if ask.is_warmup else MEASURE


def _effort(spec: RunSpec) -> Effort:
    return QUICK_EFFORT if spec.quick else FULL_EFFORT


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
