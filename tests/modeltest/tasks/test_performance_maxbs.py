import math
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from played_engine import Answer, PlayedEngine, engine_info, max_batch_spec, play

from modeltest.api import (
    BandwidthPeak,
    DevicePeaks,
    MaxBatchCase,
    Measurement,
    MeasurementTask,
    ModelWork,
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


def _summary(spec: RunSpec, answer: Answer) -> MaxBatchCase:
    (case,) = _TASK.summarize_measurements(play(_TASK, spec, answer)[1], spec).cases
    return case


def test_the_answer_is_the_largest_batch_within_the_limit() -> None:
    spec = max_batch_spec((6, 5), limit_ms=50.5, quick=False)
    trials, measurements = play(_TASK, spec, PlayedEngine())  # 10 + batch ms
    (case,) = _TASK.summarize_measurements(measurements, spec).cases
    assert (case.status, case.max_batch, case.bound) == (SearchStatus.FOUND, 40, 41)
    assert case.latency_ms == pytest.approx(50)
    assert case.reason == "batch 41 exceeds the limit of 50.5 ms"
    assert (case.lowest, case.highest, case.limit_ms) == (1, 64, 50.5)
    assert (case.verdict, case.reasons) == (Verdict.VALID, ())
    assert [probe.batch_size for probe in case.probes] == list(
        dict.fromkeys(trial.batch_size for trial in trials)
    )


def test_every_trial_of_a_probe_is_told() -> None:
    spec = max_batch_spec((6, 5), limit_ms=50.5, quick=False)
    trials, measurements = play(_TASK, spec, PlayedEngine())
    (case,) = _TASK.summarize_measurements(measurements, spec).cases
    for probe in case.probes:
        phases = [trial.phase for trial in trials if trial.batch_size == probe.batch_size]
        assert phases == ["warmup"] * len(probe.warmups_ms) + ["measure"] * len(probe.trials_ms)
        assert set(probe.trials_ms) <= {10.0 + probe.batch_size}
    answer = next(probe for probe in case.probes if probe.batch_size == 40)
    assert len(answer.trials_ms) >= 5
    measured = {summary.batch_size: summary.trials for summary in case.measured}
    assert measured == {probe.batch_size: n for probe in case.probes if (n := len(probe.trials_ms))}


def test_trials_of_a_batch_are_numbered_across_phases_so_that_no_prompt_comes_twice() -> None:
    spec = max_batch_spec((6, 64), limit_ms=50.5, quick=False)
    trials, _ = play(_TASK, spec, PlayedEngine())
    numbers: dict[int, list[int]] = {}
    for trial in trials:
        numbers.setdefault(trial.batch_size, []).append(trial.trial)
    assert all(each == list(range(len(each))) for each in numbers.values())
    prompts = [request.prompt for trial in trials for request in trial.requests]
    assert len(set(prompts)) == len(prompts)


def test_a_screen_is_a_short_trial_that_stays_out_of_the_numbers() -> None:
    spec = max_batch_spec((6, 64), limit_ms=50.5, quick=False)
    trials, measurements = play(_TASK, spec, PlayedEngine())
    (case,) = _TASK.summarize_measurements(measurements, spec).cases
    screens = [trial for trial in trials if trial.phase == "screen"]
    assert screens
    for trial in trials:
        wanted = 16 if trial.phase == "screen" else 64
        assert {request.max_new_tokens for request in trial.requests} == {wanted}
    assert case.max_batch == 40
    assert sum(len(probe.screens_ms) for probe in case.probes) == len(screens)
    assert {summary.verdict for summary in case.measured} == {Verdict.VALID}
    n = {summary.batch_size: summary.metrics["e2e_s"].n for summary in case.measured}
    assert n == {probe.batch_size: len(probe.trials_ms) for probe in case.probes if probe.trials_ms}


def test_cases_of_few_output_tokens_are_not_screened() -> None:
    trials, _ = play(_TASK, max_batch_spec((6, 63)), PlayedEngine())
    assert {trial.phase for trial in trials} == {"warmup", "measure"}


def test_a_quick_run_says_what_its_certificate_lacks() -> None:
    full, quick = (
        _summary(max_batch_spec((6, 5), limit_ms=50.0, quick=quick), PlayedEngine(step_ms=5, row_ms=10))
        for quick in (False, True)
    )
    assert (full.max_batch, quick.max_batch) == (4, 4)
    assert "--quick" not in full.reason
    assert quick.reason.endswith(
        "(--quick: 2 trials of the answer instead of 5, 2 of the batch above it instead of 3)"
    )
    assert sum(len(probe.trials_ms) for probe in quick.probes) < sum(
        len(probe.trials_ms) for probe in full.probes
    )


def test_out_of_memory_bounds_the_answer_in_one_trial() -> None:
    spec = max_batch_spec((6, 5), limit_ms=10**6, ranges=((1, 200),))
    trials, measurements = play(_TASK, spec, PlayedEngine(memory=100))
    (case,) = _TASK.summarize_measurements(measurements, spec).cases
    assert (case.status, case.max_batch) == (SearchStatus.MEMORY_LIMITED, 100)
    too_large = [trial.batch_size for trial in trials if trial.batch_size > 100]
    assert len(too_large) == len(set(too_large))
    invalid = {summary.batch_size for summary in case.measured if summary.verdict is Verdict.INVALID}
    assert invalid == set(too_large)


def test_what_the_engine_says_of_its_memory_keeps_batches_from_being_tried() -> None:
    def answer(trial: Trial) -> Measurement:  # 1000 bytes a row
        return replace(PlayedEngine(memory=100)(trial), memory_limit_bytes=100_100)

    spec = max_batch_spec((6, 5), limit_ms=10**6, ranges=((1, 2000),), quick=False)
    trials, measurements = play(_TASK, spec, answer)
    (case,) = _TASK.summarize_measurements(measurements, spec).cases
    assert (case.status, case.max_batch, case.bound) == (SearchStatus.MEMORY_LIMITED, 100, 101)
    assert case.reason == "batch 101 is predicted not to fit in memory"
    assert max(trial.batch_size for trial in trials) == 100


def test_a_batch_that_ran_out_of_memory_is_not_tried_in_a_longer_case() -> None:
    spec = max_batch_spec((6, 5), (6, 6), (7, 4), limit_ms=10**6, ranges=((1, 64),))
    trials, measurements = play(_TASK, spec, PlayedEngine(memory=10))
    cases = _TASK.summarize_measurements(measurements, spec).cases
    assert [case.max_batch for case in cases] == [10, 10, 10]
    tried = [{trial.batch_size for trial in trials if trial.case_index == index} for index in range(3)]
    assert max(tried[0]) > 10
    assert max(tried[1]) == 10
    assert cases[1].reason.startswith("batch 11 ran out of memory in a case with no more tokens")
    assert max(tried[2]) > 10  # fewer output tokens: memory may suffice


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
    case = _summary(max_batch_spec((6, 5), limit_ms=5.0), PlayedEngine())
    assert (case.status, case.max_batch, case.latency_ms) == (SearchStatus.NONE_FEASIBLE, None, None)
    assert [summary.batch_size for summary in case.measured] == [1]
    assert case.verdict is Verdict.VALID


def test_a_batch_whose_output_is_short_is_never_the_answer() -> None:
    def answer(trial: Trial) -> Measurement:
        measured = PlayedEngine()(trial)
        if trial.batch_size < 8:
            return measured
        short = tuple(replace(row, output_tokens=row.output_tokens[:-1]) for row in measured.completions)
        return replace(measured, completions=short)

    case = _summary(max_batch_spec((6, 5), quick=False), answer)
    assert (case.status, case.max_batch, case.bound) == (SearchStatus.BORDERLINE, 7, 8)
    invalid = {summary.batch_size for summary in case.measured if summary.verdict is Verdict.INVALID}
    assert 8 in invalid
    assert case.verdict is Verdict.INVALID
    assert case.reasons[0] == "the search ended BORDERLINE: batch 8 failed and gave no reading"


def test_a_borderline_answer_may_be_used_with_care() -> None:
    case = _summary(max_batch_spec((6, 5), limit_ms=50.0, quick=False), PlayedEngine())
    assert (case.status, case.max_batch) == (SearchStatus.BORDERLINE, 39)
    assert case.verdict is Verdict.NOISY
    assert "5 trials of batch 40 neither meet nor exceed the limit of 50 ms" in case.reasons[0]


@settings(max_examples=50)
@given(st.integers(0, 70), st.integers(0, 70), st.booleans())
def test_the_summary_says_what_the_search_did(limit: int, memory: int, quick: bool) -> None:
    spec = max_batch_spec((2, 2), limit_ms=limit + 0.5, quick=quick)
    engine = PlayedEngine(step_ms=0, row_ms=1, memory=memory)
    trials, measurements = play(_TASK, spec, engine)
    (case,) = _TASK.summarize_measurements(iter(measurements), spec).cases
    assert [probe.batch_size for probe in case.probes] == list(
        dict.fromkeys(trial.batch_size for trial in trials)
    )
    truth = min(limit, memory, 64)
    # A quick search stops at a few trials: over all limits and memories here it ends at most 3 rows below.
    assert truth - (3 if quick else 2) <= (case.max_batch or 0) <= truth


@settings(max_examples=50)
@given(st.integers(0, 60))
def test_a_search_cut_short_never_claims_more_than_was_certified(kept: int) -> None:
    spec = max_batch_spec((2, 2), limit_ms=50.5, quick=False)
    _, measurements = play(_TASK, spec, PlayedEngine())
    journal = measurements[:kept]
    (case,) = _TASK.summarize_measurements(journal, spec).cases
    if kept >= len(measurements):
        assert (case.status, case.max_batch) == (SearchStatus.FOUND, 40)
        return
    assert (case.status, case.verdict) == (SearchStatus.BORDERLINE, Verdict.INVALID)
    measured = [m.batch_size for m in journal if m.phase == "measure"]
    assert case.max_batch is None or measured.count(case.max_batch) >= 5
    assert "cut short" in case.reason


def test_a_resumed_search_asks_on_where_the_journal_ends() -> None:
    spec = max_batch_spec((6, 64), limit_ms=50.5, quick=False)
    engine = PlayedEngine()
    trials, measurements = play(_TASK, spec, engine)
    resumed = _TASK.trials(spec, engine_info())
    trial = next(resumed)
    for measurement in measurements[:7]:
        trial = resumed.send(measurement)
    assert trial == trials[7]


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


def test_an_answer_that_no_such_device_can_have_given_is_invalid() -> None:
    spec = max_batch_spec((6, 5), limit_ms=50.5, quick=False)
    _, measurements = play(_TASK, spec, PlayedEngine())
    work = ModelWork(1000, 10_000_000, 1000, None, 10)  # 10 MB in 50 ms: 0.2 GB/s
    for bytes_per_s, verdict in ((1e9, Verdict.VALID), (1e8, Verdict.INVALID)):
        peaks = DevicePeaks((BandwidthPeak(1 << 20, bytes_per_s),), 1e12)
        engine = replace(engine_info(), work=work, peaks=peaks)
        (case,) = _TASK.summarize_measurements(measurements, spec, engine).cases
        assert case.max_batch == 40
        assert case.verdict is verdict
        assert bool(case.reasons) == (verdict is Verdict.INVALID)
