import random
from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from played_engine import MS, PlayedEngine, engine_info, measurement, performance_spec, play

from modeltest.api import Measurement, RunSpec, Trial, Verdict
from modeltest.tasks.interval_width import PRECISE, is_precise
from modeltest.tasks.performance import Performance
from modeltest.tasks.readings import MEASURE, of_phase, read_trial
from modeltest.tasks.trials import TrialPlan, next_phase, plan_trials

Steps = Callable[[Trial], float]


def _phases(steps_ms: Steps, spec: RunSpec | None = None) -> list[str]:
    spec = spec or performance_spec((6, 5), quick=False)
    trials, _ = play(
        Performance(), spec, lambda trial: measurement(trial, step_ns=round(steps_ms(trial) * MS))
    )
    return [trial.phase for trial in trials]


@pytest.mark.parametrize(
    ("steps_ms", "expected"),
    [
        ((100, 100), 2),
        ((100, 102), 2),
        ((100, 103, 104), 3),
        ((200, 150, 120, 101, 100), 5),
        ((200, 150, 120, 100, 80), 5),
    ],
)
def test_warm_up_goes_on_until_two_trials_agree_within_two_percent(
    steps_ms: tuple[int, ...], expected: int
) -> None:
    phases = _phases(lambda trial: steps_ms[trial.trial] if trial.phase == "warmup" else 100)
    assert phases.count("warmup") == expected
    assert phases[:expected] == ["warmup"] * expected


def test_a_case_of_one_token_is_warm_when_its_first_token_is() -> None:
    spec = performance_spec((6, 1), quick=False)
    steps_ms = (200, 150, 149)
    phases = _phases(lambda trial: steps_ms[trial.trial] if trial.trial < 3 else 100, spec)
    assert phases.count("warmup") == 3
    assert phases.count("measure") == 5


def test_steady_trials_end_at_five() -> None:
    assert _phases(lambda trial: 100).count("measure") == 5


def test_trials_go_on_until_the_interval_is_narrow() -> None:
    # One trial of five is off by 3 %: too wide for Student's t, but not for the order of some more.
    def steps_ms(trial: Trial) -> float:
        return 103 if trial.trial == 2 else 100

    phases = _phases(steps_ms)
    assert 5 < phases.count("measure") < 20


def test_trials_that_never_agree_end_at_twenty() -> None:
    assert _phases(lambda trial: 100 + 10 * (trial.trial % 3)).count("measure") == 20


def test_a_quick_run_measures_three_whatever_they_say() -> None:
    spec = performance_spec((6, 5), quick=True)
    assert _phases(lambda trial: 100 + 10 * (trial.trial % 3), spec).count("measure") == 3


def test_more_trials_can_be_asked_for() -> None:
    for quick in (False, True):
        spec = replace(performance_spec((6, 5), quick=quick), min_trials=44)
        assert _phases(lambda trial: 100, spec).count("measure") == 44


def test_a_budget_leaves_what_is_indispensable() -> None:
    # A batch takes 14 x 100 ms; the first already exceeds the budget.
    spec = replace(performance_spec((6, 5), quick=False), case_budget_s=1.0)
    phases = _phases(lambda trial: 100 + 10 * (trial.trial % 3), spec)
    assert phases == ["warmup", "measure", "bare", *["measure"] * 4]


def test_a_budget_ends_the_trials_beyond_the_fewest() -> None:
    # 1.4 s a batch: two to warm up, five measured, three bare; 20 s are spent after 15 batches.
    spec = replace(performance_spec((6, 5), quick=False), case_budget_s=20.0)
    phases = _phases(lambda trial: 100 if trial.phase != "measure" else 95 + 10 * (trial.trial % 2), spec)
    assert len(phases) == 15


def test_bare_trials_ask_for_the_end_alone_and_no_other_trial_does() -> None:
    trials, _ = play(Performance(), performance_spec((6, 5), quick=False), PlayedEngine())
    assert {trial.phase: {request.only_end_timed for request in trial.requests} for trial in trials} == {
        "warmup": {False},
        "measure": {False},
        "bare": {True},
    }


def test_trials_are_numbered_through_all_phases() -> None:
    trials, _ = play(Performance(), performance_spec((6, 5), quick=False), PlayedEngine())
    assert [trial.trial for trial in trials] == list(range(len(trials)))


@settings(max_examples=40)
@given(st.integers(0, 2**32), st.floats(0.0, 0.05), st.integers(0, 30))
def test_a_replayed_run_is_asked_for_the_same_trials(seed: int, spread: float, kept: int) -> None:
    """The measurements so far, sent again, lead to the same next trial, as a resumed run needs."""
    draw = random.Random(seed)
    spec = performance_spec((6, 5), quick=False)

    def answer(trial: Trial) -> Measurement:
        return measurement(trial, step_ns=round(100 * MS * (1 + spread * draw.gauss(0, 1))))

    trials, measurements = play(Performance(), spec, answer)
    journal = iter(measurements[:kept])
    again, _ = play(Performance(), spec, lambda trial: next(journal, None) or PlayedEngine()(trial))
    same = min(kept + 1, len(trials))
    assert again[:same] == trials[:same]


@settings(max_examples=40)
@given(st.integers(0, 2**32), st.floats(0.0, 0.05))
def test_a_finished_case_is_precise_or_has_the_most_trials(seed: int, spread: float) -> None:
    draw = random.Random(seed)
    spec = performance_spec((6, 5), quick=False)
    _, measurements = play(
        Performance(),
        spec,
        lambda trial: measurement(trial, step_ns=round(100 * MS * (1 + spread * draw.gauss(0, 1)))),
    )
    readings = [read_trial(each, spec.cases[0]) for each in measurements]
    measured = of_phase(MEASURE, readings)
    assert next_phase(readings, plan_trials(spec, engine_info())) is None
    assert len(measured) == 20 or is_precise(measured)
    assert len(measured) == 5 or not is_precise(measured[:-1])
    (case,) = Performance().summarize_measurements(measurements, spec).cases
    tpot = case.metrics["tpot_ms"]
    assert tpot.median is not None
    assert tpot.low is not None
    assert tpot.high is not None
    if len(measured) < 20:
        assert (tpot.high - tpot.low) / 2 <= PRECISE * tpot.median


def test_a_failed_trial_is_the_last() -> None:
    spec = performance_spec((6, 5))
    _, measurements = play(Performance(), spec, PlayedEngine())
    failed = read_trial(replace(measurements[0], error="device lost"), spec.cases[0])
    assert next_phase([failed], TrialPlan()) is None


def test_an_engine_that_cannot_do_without_its_instrumentation_has_no_bare_trials() -> None:
    spec = performance_spec((6, 5), quick=False)
    info = replace(engine_info(), times_end_alone=False)
    trials, measurements = play(Performance(), spec, PlayedEngine(), info=info)
    assert [trial.phase for trial in trials] == ["warmup"] * 2 + ["measure"] * 5
    (case,) = Performance().summarize_measurements(measurements, spec, info).cases
    assert (case.verdict, case.overhead) == (Verdict.VALID, None)
