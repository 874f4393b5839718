import math
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from played_engine import MS, PlayedEngine, engine_info, max_batch_spec, measurement, play

from modeltest.api import (
    Measurement,
    MeasurementTask,
    RunSpec,
    SearchStatus,
    SpecError,
    TaskOptions,
    Trial,
    Verdict,
)
from modeltest.tasks.performance_maxbs import PerformanceMaxBatch

_TASK = PerformanceMaxBatch()


def test_it_is_a_measurement_task() -> None:
    assert isinstance(_TASK, MeasurementTask)


def test_the_answer_is_the_largest_batch_within_the_limit() -> None:
    spec = max_batch_spec((6, 5))
    trials, measurements = play(_TASK, spec, PlayedEngine())  # 10 + batch ms
    (case,) = _TASK.summarize_measurements(measurements, spec).cases
    assert (case.status, case.max_batch, case.latency_ms) == (SearchStatus.FOUND, 40, 50.0)
    assert (case.lowest, case.highest, case.limit_ms) == (1, 64, 50.0)
    assert [probe.batch_size for probe in case.probes] == list(
        dict.fromkeys(trial.batch_size for trial in trials)
    )
    assert {probe.batch_size: probe.latency_ms for probe in case.probes}[41] == 51.0


@pytest.mark.parametrize(("quick", "measured"), [(True, 1), (False, 3)])
def test_a_probe_is_one_warm_up_and_its_trials(quick: bool, measured: int) -> None:
    spec = max_batch_spec((6, 5), ranges=((4, 4),), quick=quick)
    trials, _ = play(_TASK, spec, PlayedEngine())
    assert [trial.phase for trial in trials] == ["warmup", *["measure"] * measured]


def test_the_latency_of_a_probe_is_the_median_over_its_measured_trials() -> None:
    def answer(trial: Trial) -> Measurement:
        return measurement(trial, step_ns=(900, 30, 500, 20)[trial.trial] * MS)

    spec = max_batch_spec((6, 5), ranges=((4, 4),), quick=False)
    (case,) = _TASK.summarize_measurements(play(_TASK, spec, answer)[1], spec).cases
    assert case.latency_ms == 30.0
    assert case.status is SearchStatus.RANGE_LIMITED
    assert case.measured[0].verdict is Verdict.NOISY


def test_out_of_memory_bounds_the_answer_in_one_trial() -> None:
    spec = max_batch_spec((6, 5), limit_ms=10**6, ranges=((1, 200),))
    trials, measurements = play(_TASK, spec, PlayedEngine(memory=100))
    (case,) = _TASK.summarize_measurements(measurements, spec).cases
    assert (case.status, case.max_batch) == (SearchStatus.MEMORY_LIMITED, 100)
    too_large = [trial.batch_size for trial in trials if trial.batch_size > 100]
    assert len(too_large) == len(set(too_large))
    assert {probe.latency_ms for probe in case.probes if probe.out_of_memory} == {None}


def test_every_case_has_its_own_range() -> None:
    spec = max_batch_spec((6, 5), (3, 4), ranges=((1, 8), (2, 3)))
    _, measurements = play(_TASK, spec, PlayedEngine())
    cases = _TASK.summarize_measurements(measurements, spec).cases
    assert [(case.lowest, case.highest, case.max_batch) for case in cases] == [(1, 8, 8), (2, 3, 3)]


def test_one_range_serves_all_cases() -> None:
    spec = max_batch_spec((6, 5), (3, 4), ranges=((1, 8),))
    _, measurements = play(_TASK, spec, PlayedEngine())
    assert [case.highest for case in _TASK.summarize_measurements(measurements, spec).cases] == [8, 8]


def test_none_feasible_has_no_answer_but_its_measurement() -> None:
    spec = max_batch_spec((6, 5), limit_ms=5.0)
    (case,) = _TASK.summarize_measurements(play(_TASK, spec, PlayedEngine())[1], spec).cases
    assert (case.status, case.max_batch, case.latency_ms) == (SearchStatus.NONE_FEASIBLE, None, None)
    assert [summary.batch_size for summary in case.measured] == [1]


def test_a_batch_whose_output_is_short_is_never_the_answer() -> None:
    def answer(trial: Trial) -> Measurement:
        measured = PlayedEngine()(trial)
        if trial.batch_size < 8:
            return measured
        short = tuple(replace(row, output_tokens=row.output_tokens[:-1]) for row in measured.completions)
        return replace(measured, completions=short)

    spec = max_batch_spec((6, 5))
    (case,) = _TASK.summarize_measurements(play(_TASK, spec, answer)[1], spec).cases
    assert (case.status, case.max_batch) == (SearchStatus.BORDERLINE, 7)
    invalid = {summary.batch_size for summary in case.measured if summary.verdict is Verdict.INVALID}
    assert 8 in invalid


@settings(deadline=None)
@given(st.integers(0, 70), st.integers(0, 70), st.booleans())
def test_the_summary_says_what_the_search_did(limit: int, memory: int, quick: bool) -> None:
    spec = max_batch_spec((2, 2), limit_ms=limit + 0.5, quick=quick)
    engine = PlayedEngine(step_ms=0, row_ms=1, memory=memory)
    trials, measurements = play(_TASK, spec, engine)
    (case,) = _TASK.summarize_measurements(iter(measurements), spec).cases
    assert [probe.batch_size for probe in case.probes] == list(
        dict.fromkeys(trial.batch_size for trial in trials)
    )
    assert [probe.batch_size for probe in case.probes] == [summary.batch_size for summary in case.measured]
    assert case.max_batch == (min(limit, memory, 64) or None)


@settings(deadline=None)
@given(st.integers(0, 60))
def test_a_search_cut_short_never_claims_more_than_was_measured(kept: int) -> None:
    spec = max_batch_spec((2, 2), quick=False)
    _, measurements = play(_TASK, spec, PlayedEngine())
    journal = measurements[:kept]
    (case,) = _TASK.summarize_measurements(journal, spec).cases
    if kept >= len(measurements):
        assert (case.status, case.max_batch) == (SearchStatus.FOUND, 40)
        return
    finished = [m.batch_size for m in journal if m.trial == 3 and m.batch_size <= 40]
    assert case.status is SearchStatus.BORDERLINE
    assert case.max_batch == max(finished, default=None)
    assert len(case.probes) == sum(m.trial == 3 for m in journal)


def test_an_unfinished_probe_stands_among_the_measured_as_invalid() -> None:
    spec = max_batch_spec((2, 2), quick=False)
    _, measurements = play(_TASK, spec, PlayedEngine())
    (case,) = _TASK.summarize_measurements(measurements[:6], spec).cases
    assert [summary.verdict for summary in case.measured] == [Verdict.VALID, Verdict.INVALID]
    assert case.measured[1].reasons == ("1 of 3 trials were measured: the run was cut short",)


def test_nothing_measured_is_borderline_without_an_answer() -> None:
    (case,) = _TASK.summarize_measurements([], max_batch_spec((2, 2))).cases
    assert (case.status, case.max_batch, case.probes, case.measured) == (
        SearchStatus.BORDERLINE,
        None,
        (),
        (),
    )


def test_a_case_longer_than_the_context_is_refused() -> None:
    with pytest.raises(SpecError, match=r"\[6,5\] needs 11 tokens"):
        next(_TASK.trials(max_batch_spec((6, 5)), engine_info(context_tokens=10)))


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (max_batch_spec(), "no cases"),
        (max_batch_spec((4, 1)), "no token after the first"),
        (max_batch_spec((4, 4), limit_ms=None), "the latency limit is None"),
        (max_batch_spec((4, 4), limit_ms=0), "the latency limit is 0"),
        (max_batch_spec((4, 4), limit_ms=math.nan), "the latency limit is nan"),
        (max_batch_spec((4, 4), limit_ms=math.inf), "the latency limit is inf"),
        (max_batch_spec((4, 4), ranges=()), "0 ranges of batch sizes for 1 cases"),
        (max_batch_spec((4, 4), ranges=((1, 2), (1, 2))), "2 ranges of batch sizes for 1 cases"),
        (max_batch_spec((4, 4), ranges=((3, 2),)), r"no batch size lies in \[3,2\]"),
        (max_batch_spec((4, 4), ranges=((0, 2),)), r"no batch size lies in \[0,2\]"),
    ],
)
def test_what_cannot_be_searched_is_refused(spec: RunSpec, message: str) -> None:
    with pytest.raises(SpecError, match=message):
        _TASK.check(spec)


def test_prompt_words_are_refused() -> None:
    spec = max_batch_spec((4, 4))
    options = TaskOptions(spec.options.shots, None, spec.options.batch_ranges, 50.0, prefill_length=1)
    with pytest.raises(SpecError, match="performance_maxbs does not take the word prefill_length"):
        _TASK.check(replace(spec, options=options))


def test_a_sound_spec_passes_the_check() -> None:
    _TASK.check(max_batch_spec((256, 64), (10, 100), ranges=((1, 2000), (10, 20))))
