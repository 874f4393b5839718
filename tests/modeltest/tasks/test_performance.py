from collections.abc import Callable
from dataclasses import replace

import pytest
from played_engine import MS, Answer, PlayedEngine, engine_info, measurement, performance_spec, play

from modeltest.api import (
    BandwidthPeak,
    Capability,
    DevicePeaks,
    EngineInfo,
    Measurement,
    MeasurementTask,
    ModelWork,
    RunSpec,
    SpecError,
    Trial,
    Verdict,
)
from modeltest.metrics import METRICS
from modeltest.run.worker.measurement import inputs_digest
from modeltest.tasks.performance import Performance

_TASK = Performance()


def _but(engine: Answer, trial_number: int, change: Callable[[Measurement], Measurement]) -> Answer:
    """Return `engine` with the measurement of one trial number changed."""

    def answer(trial: Trial) -> Measurement:
        measured = engine(trial)
        return change(measured) if trial.trial == trial_number else measured

    return answer


def test_it_is_a_measurement_task() -> None:
    assert isinstance(_TASK, MeasurementTask)
    assert _TASK.requires(performance_spec((4, 4))) == {
        Capability.GENERATE,
        Capability.TOKEN_TIMES,
        Capability.IGNORE_EOS,
    }


_QUICK = ("warmup", "warmup", "measure", "measure", "bare", "measure")
_FULL = ("warmup", "warmup", *("measure", "bare", "measure") * 2, "measure", "bare")


@pytest.mark.parametrize(("quick", "phases"), [(True, _QUICK), (False, _FULL)])
def test_every_combination_is_warmed_up_then_repeated_with_bare_trials_between(
    quick: bool, phases: tuple[str, ...]
) -> None:
    spec = performance_spec((4, 3), (8, 2), batch_sizes=((1,), (2, 4)), quick=quick)
    trials, _ = play(_TASK, spec, PlayedEngine())
    seen = [(trial.case_index, trial.batch_size, trial.phase) for trial in trials]
    assert seen == [(case, batch, phase) for case, batch in ((0, 1), (1, 2), (1, 4)) for phase in phases]
    assert all(len(trial.requests) == trial.batch_size for trial in trials)


def test_one_list_of_batch_sizes_serves_all_cases() -> None:
    trials, _ = play(_TASK, performance_spec((4, 3), (8, 2), batch_sizes=((1, 2),)), PlayedEngine())
    assert {(trial.case_index, trial.batch_size) for trial in trials} == {(0, 1), (0, 2), (1, 1), (1, 2)}


def test_no_two_trials_share_an_id_or_a_prompt() -> None:
    trials, _ = play(_TASK, performance_spec((6, 3), (6, 4), batch_sizes=((1, 3),)), PlayedEngine())
    requests = [request for trial in trials for request in trial.requests]
    assert len({request.id for request in requests}) == len(requests)
    assert len({request.prompt for request in requests}) == len(requests)


def test_a_run_asked_for_again_asks_the_same() -> None:
    spec = performance_spec((6, 3), batch_sizes=((2, 4),), seed=7)
    first, again = (play(_TASK, spec, PlayedEngine())[0] for _ in range(2))
    assert [inputs_digest(trial) for trial in first] == [inputs_digest(trial) for trial in again]
    assert first == again


def test_summary_of_a_steady_engine_is_valid_and_exact() -> None:
    spec = performance_spec((6, 5), batch_sizes=((4,),))
    (case,) = _TASK.summarize_measurements(play(_TASK, spec, PlayedEngine())[1], spec).cases
    assert (case.verdict, case.reasons) == (Verdict.VALID, ())
    assert (case.trials, case.warmup_trials, case.batch_size) == (3, 2, 4)
    assert case.peak_memory_bytes == 4005  # the last trial's
    assert set(case.metrics) == {metric.definition.name for metric in METRICS}
    assert case.metrics["tpot_ms"].median == 14.0  # 10 + 4 rows
    assert case.metrics["ttft_ms"].median == 140.0
    assert case.metrics["e2e_s"].median == 0.196  # 14 steps
    assert case.metrics["tpot_ms"].sd == 0.0
    assert case.metrics["tpot_ms"].n == 3


def test_warm_up_is_not_in_the_numbers() -> None:
    def answer(trial: Trial) -> Measurement:
        return measurement(trial, step_ns=(1000 if trial.phase == "warmup" else 10) * MS)

    spec = performance_spec((6, 5))
    (case,) = _TASK.summarize_measurements(play(_TASK, spec, answer)[1], spec).cases
    assert case.metrics["tpot_ms"].maximum == 10.0
    assert case.verdict is Verdict.VALID


def test_a_spread_above_five_percent_is_noisy_and_says_how_much() -> None:
    def answer(trial: Trial) -> Measurement:
        return measurement(trial, step_ns={2: 9, 3: 10, 5: 11}.get(trial.trial, 10) * MS)

    spec = performance_spec((6, 5))
    (case,) = _TASK.summarize_measurements(play(_TASK, spec, answer)[1], spec).cases
    assert case.verdict is Verdict.NOISY  # sd 1 over mean 10
    assert [reason.partition(": CV")[0] for reason in case.reasons] == [
        f"{name} varies too much between trials" for name in ("TPOT", "TTFT", "E2E")
    ]
    assert "10.0%" in case.reasons[0]


def test_a_spread_of_less_than_five_percent_is_valid() -> None:
    def answer(trial: Trial) -> Measurement:
        return measurement(trial, step_ns={2: 97, 3: 100, 5: 103}.get(trial.trial, 100) * MS)

    spec = performance_spec((6, 5))
    (case,) = _TASK.summarize_measurements(play(_TASK, spec, answer)[1], spec).cases
    assert case.verdict is Verdict.VALID


def test_a_row_of_another_length_makes_the_case_invalid() -> None:
    def shorten(measured: Measurement) -> Measurement:
        row = measured.completions[1]
        short = replace(row, output_tokens=row.output_tokens[:-1], token_times_ns=row.token_times_ns[:-1])
        return replace(measured, completions=(measured.completions[0], short))

    spec = performance_spec((6, 5), batch_sizes=((2,),))
    _, measurements = play(_TASK, spec, _but(PlayedEngine(), 2, shorten))
    (case,) = _TASK.summarize_measurements(measurements, spec).cases
    assert case.verdict is Verdict.INVALID
    assert case.reasons == (
        "measure trial 2: 1 of 2 rows did not give the 5 tokens asked for, the first gave 4",
    )
    assert len(measurements) == 6, "the other trials are still measured"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda m: replace(m, completions=m.completions[:1]), "1 of 2 rows came back"),
        (
            lambda m: replace(m, completions=tuple(replace(c, token_times_ns=(5,)) for c in m.completions)),
            "2 of 2 rows do not have one time per token",
        ),
        (
            lambda m: replace(
                m, completions=tuple(replace(c, token_times_ns=(5, 9, 8, 10, 11)) for c in m.completions)
            ),
            "token times run backwards",
        ),
    ],
)
def test_what_an_engine_must_not_return_makes_the_case_invalid(
    change: Callable[[Measurement], Measurement], reason: str
) -> None:
    spec = performance_spec((6, 5), batch_sizes=((2,),))
    _, measurements = play(_TASK, spec, _but(PlayedEngine(), 2, change))
    (case,) = _TASK.summarize_measurements(measurements, spec).cases
    assert case.verdict is Verdict.INVALID
    assert f"measure trial 2: {reason}" in case.reasons


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda m: replace(m, completions=(), error="device lost"), "measure trial 2: device lost"),
        (
            lambda m: replace(m, completions=(m.completions[0], replace(m.completions[1], error="lost"))),
            "measure trial 2: 1 of 2 rows failed, the first with: lost",
        ),
        (lambda m: replace(m, completions=()), "measure trial 2: 0 of 2 rows came back"),
    ],
)
def test_a_failed_trial_ends_its_combination_but_not_the_run(
    change: Callable[[Measurement], Measurement], reason: str
) -> None:
    spec = performance_spec((6, 5), (4, 2), batch_sizes=((2,),))

    def answer(trial: Trial) -> Measurement:
        measured = PlayedEngine()(trial)
        return change(measured) if (trial.case_index, trial.trial) == (0, 2) else measured

    trials, measurements = play(_TASK, spec, answer)
    failed, sound = _TASK.summarize_measurements(measurements, spec).cases
    assert [trial.trial for trial in trials if trial.case_index == 0] == [0, 1, 2]
    assert (failed.verdict, failed.reasons, failed.trials) == (Verdict.INVALID, (reason,), 0)
    assert failed.metrics["tpot_ms"].median is None
    assert sound.verdict is Verdict.VALID


def test_after_out_of_memory_larger_batches_of_that_case_are_skipped() -> None:
    spec = performance_spec((6, 5), (4, 2), batch_sizes=((2, 8, 16, 4), (1, 8)))
    trials, measurements = play(_TASK, spec, PlayedEngine(memory=4))
    tried = [(trial.case_index, trial.batch_size) for trial in trials]
    assert tried == [(0, 2)] * 6 + [(0, 8)] + [(0, 4)] * 6 + [(1, 1)] * 6 + [(1, 8)]
    summary = _TASK.summarize_measurements(measurements, spec)
    assert [(case.batch_size, case.verdict, case.reasons) for case in summary.cases] == [
        (2, Verdict.VALID, ()),
        (8, Verdict.INVALID, ("warmup trial 0: batch 8 ran out of memory",)),
        (16, Verdict.INVALID, ("not measured: batch 8 ran out of memory",)),
        (4, Verdict.VALID, ()),
        (1, Verdict.VALID, ()),
        (8, Verdict.INVALID, ("warmup trial 0: batch 8 ran out of memory",)),
    ]


@pytest.mark.parametrize(("kept", "measured"), [(0, 0), (1, 0), (2, 0), (3, 1), (4, 2), (5, 2)])
def test_a_run_cut_short_is_invalid_and_says_so(kept: int, measured: int) -> None:
    spec = performance_spec((6, 5))
    _, measurements = play(_TASK, spec, PlayedEngine())
    (case,) = _TASK.summarize_measurements(measurements[:kept], spec).cases
    assert case.verdict is Verdict.INVALID
    assert case.reasons == (f"{measured} of 3 trials were measured: the run was cut short",)


def test_a_trial_journalled_twice_counts_once() -> None:
    spec = performance_spec((6, 5))
    _, measurements = play(_TASK, spec, PlayedEngine())
    (case,) = _TASK.summarize_measurements([*measurements[:3], *measurements], spec).cases
    assert (case.trials, case.warmup_trials) == (3, 2)


def test_measurements_may_stream() -> None:
    spec = performance_spec((6, 5))
    _, measurements = play(_TASK, spec, PlayedEngine())
    assert _TASK.summarize_measurements(iter(measurements), spec) == _TASK.summarize_measurements(
        measurements, spec
    )


def test_a_case_longer_than_the_context_is_refused_before_anything_is_measured() -> None:
    spec = performance_spec((4, 4), (256, 65))
    with pytest.raises(
        SpecError, match=r"\[256,65\] needs 321 tokens .* holds 320; .*max_position_embeddings"
    ):
        next(_TASK.trials(spec, engine_info(context_tokens=320)))
    fitting = performance_spec((4, 4), (256, 64))
    assert play(_TASK, fitting, PlayedEngine(), info=engine_info(context_tokens=320))
    assert play(_TASK, spec, PlayedEngine(), info=engine_info(context_tokens=None))


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (performance_spec(), "no cases"),
        (performance_spec((0, 4)), r"case \[0,4\] has no tokens"),
        (performance_spec((4, 0)), r"case \[4,0\] has no tokens"),
        (performance_spec((4, 4), (4, 4)), r"case \[4,4\] is given twice"),
        (performance_spec((4, 4), batch_sizes=()), "0 lists of batch sizes for 1 cases"),
        (performance_spec((4, 4), batch_sizes=((1,), (2,))), "2 lists of batch sizes for 1 cases"),
        (performance_spec((4, 4), batch_sizes=((),)), r"batch sizes \[\] cannot"),
        (performance_spec((4, 4), batch_sizes=((4, 0),)), r"batch sizes \[4, 0\] cannot"),
        (performance_spec((4, 4), batch_sizes=((4, 2, 4),)), "batch size 4 is given twice"),
    ],
)
def test_shapes_that_cannot_be_timed_are_refused(spec: RunSpec, message: str) -> None:
    with pytest.raises(SpecError, match=message):
        _TASK.check(spec)


def test_a_sound_spec_passes_the_check() -> None:
    _TASK.check(performance_spec((256, 64), (10, 100), batch_sizes=((10, 20), (100,))))


_WORK = ModelWork(
    parameters=1000,
    step_weight_bytes=10_000_000,
    cache_token_bytes=1000,
    cache_window_tokens=None,
    token_flop=2_000_000,
)


def _on(bytes_per_s: float, flop_per_s: float) -> EngineInfo:
    peaks = DevicePeaks((BandwidthPeak(1 << 20, bytes_per_s),), flop_per_s)
    return replace(engine_info(), work=_WORK, peaks=peaks)


def test_rates_are_shown_beside_the_peaks() -> None:
    spec = performance_spec((6, 5), batch_sizes=((4,),))
    _, measurements = play(_TASK, spec, PlayedEngine())
    (case,) = _TASK.summarize_measurements(measurements, spec, _on(1e9, 1e9)).cases
    assert case.verdict is Verdict.VALID
    assert case.achieved is not None
    # A step of 14 ms reads the weights and, for 4 rows, 7, 8, 9 and 10 tokens of 1000 bytes.
    assert case.achieved.decode_bytes_per_s == pytest.approx((10_000_000 + 4 * 8.5 * 1000) / 0.014)
    assert case.achieved.prefill_flop_per_s == pytest.approx(2_000_000 * 4 * 6 / 0.14)
    assert (case.achieved.peak_bytes_per_s, case.achieved.peak_flop_per_s) == (1e9, 1e9)


@pytest.mark.parametrize(
    ("engine", "reason"),
    [
        (_on(5e8, 1e9), "decoding reads 0.717 GB/s at least by these times"),
        (_on(1e9, 2e8), "prefill computes 0.000343 TFLOP/s at least by these times"),
    ],
)
def test_times_that_no_such_device_can_reach_are_invalid(engine: EngineInfo, reason: str) -> None:
    spec = performance_spec((6, 5), batch_sizes=((4,),))
    _, measurements = play(_TASK, spec, PlayedEngine())
    (case,) = _TASK.summarize_measurements(measurements, spec, engine).cases
    assert case.verdict is Verdict.INVALID
    assert [each[: len(reason)] for each in case.reasons] == [reason]


def test_several_devices_have_their_peaks_together() -> None:
    spec = replace(performance_spec((6, 5), batch_sizes=((4,),)), world_size=2)
    _, measurements = play(_TASK, spec, PlayedEngine())
    (case,) = _TASK.summarize_measurements(measurements, spec, _on(5e8, 1e9)).cases
    assert case.verdict is Verdict.VALID


def test_what_timing_costs_is_told_in_percent() -> None:
    def answer(trial: Trial) -> Measurement:
        return measurement(trial, step_ns=(98 if trial.phase == "bare" else 100) * MS)

    spec = performance_spec((6, 5), quick=False)
    (case,) = _TASK.summarize_measurements(play(_TASK, spec, answer)[1], spec).cases
    assert case.overhead is not None
    assert case.overhead.fraction == pytest.approx(100 / 98 - 1)
    assert case.overhead.bare_trials == 3
    assert case.metrics["e2e_s"].n == 5, "bare trials are in no other number"
    assert case.notes == ("timing every token costs 2.0% (2.0% at least): E2E is that much too long",)


def test_tokens_that_came_in_one_piece_leave_itl_out_and_are_told() -> None:
    def answer(trial: Trial) -> Measurement:
        timed = measurement(trial, step_ns=100 * MS)
        if trial.phase != "measure":
            return timed
        rows = [
            replace(
                row, token_times_ns=(*row.token_times_ns[:-2], row.token_times_ns[-1], row.token_times_ns[-1])
            )
            for row in timed.completions
        ]
        return replace(timed, completions=tuple(rows))

    spec = performance_spec((6, 5), quick=True)
    (case,) = _TASK.summarize_measurements(play(_TASK, spec, answer)[1], spec).cases
    assert case.metrics["itl_ms"].n == 0
    assert case.metrics["tpot_ms"].median == 100.0
    assert case.notes[-1].startswith("20% of the tokens came in one piece with the one before")


def test_timing_that_costs_next_to_nothing_is_not_worth_a_note() -> None:
    def answer(trial: Trial) -> Measurement:
        return measurement(trial, step_ns=(995 if trial.phase == "bare" else 1000) * MS)

    spec = performance_spec((6, 5), quick=False)
    (case,) = _TASK.summarize_measurements(play(_TASK, spec, answer)[1], spec, engine_info()).cases
    assert case.overhead is not None
    assert case.notes == ()


def test_a_bare_trial_that_was_timed_token_by_token_is_invalid() -> None:
    def timed(measured: Measurement) -> Measurement:
        rows = tuple(replace(row, token_times_ns=(1, 2, 3, 4, 5)) for row in measured.completions)
        return replace(measured, completions=rows)

    spec = performance_spec((6, 5))
    _, measurements = play(_TASK, spec, _but(PlayedEngine(), 4, timed))
    (case,) = _TASK.summarize_measurements(measurements, spec).cases
    assert case.reasons == ("bare trial 4: 1 of 1 rows do not have an end time alone",)


def test_a_drift_over_the_trials_is_noisy() -> None:
    def answer(trial: Trial) -> Measurement:
        return measurement(trial, step_ns=(200 + trial.trial) * MS // 2)

    spec = replace(performance_spec((6, 5), quick=False), min_trials=8)
    (case,) = _TASK.summarize_measurements(play(_TASK, spec, answer)[1], spec).cases
    assert case.verdict is Verdict.NOISY
    assert case.reasons[0].startswith("TPOT drifts over the trials, by +")
    assert set(case.drift) == {"tpot_ms", "ttft_ms", "e2e_s"}


def test_a_warm_up_that_never_settles_and_a_wide_interval_are_said_without_a_verdict() -> None:
    def answer(trial: Trial) -> Measurement:
        step = 100 + 10 * trial.trial if trial.phase == "warmup" else 98 + 4 * (trial.trial % 2)
        return measurement(trial, step_ns=step * MS)

    spec = performance_spec((6, 5), quick=False)
    trials, measurements = play(_TASK, spec, answer)
    (case,) = _TASK.summarize_measurements(measurements, spec).cases
    assert [trial.phase for trial in trials].count("warmup") == 5
    assert (case.verdict, case.trials) == (Verdict.VALID, 20)
    assert case.notes[0].startswith("the warm-up did not settle: the last two of 5 trials differ by 7.7%")
    assert case.notes[1] == (
        "after 20 trials the 95 % intervals are wide: TPOT ±2.0%, TTFT ±2.0%, E2E ±2.0% of the median, "
        "±1% was wanted"
    )
