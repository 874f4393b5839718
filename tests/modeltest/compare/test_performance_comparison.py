"""The gate of timed runs: what it says, and how often it says what is not so."""

from dataclasses import replace

import pytest

from modeltest.api import CalibratedTolerance, Calibration, Case, GateOutcome, Verdict
from modeltest.compare.calibration import calibrate, calibration_differences, tolerance_of
from modeltest.compare.performance import compare_sessions, latency_gates
from modeltest.compare.tolerances import Tolerances

CASE = Case(64, 32)
SHAPE = (CASE, 4)
RUNS = 60
TRIALS = 5


def session(ttft=100.0, tpot=10.0, e2e=1.0, trials=3):
    """Return one session whose trials are 1 % apart."""
    spread = (0.99, 1.0, 1.01, 1.0, 1.0)[:trials]
    return {
        SHAPE: {
            "ttft_ms": [ttft * each for each in spread],
            "tpot_ms": [tpot * each for each in spread],
            "e2e_s": [e2e * each for each in spread],
            "output_tokens_per_s": [128 / e2e * each for each in spread],
            "decode_tokens_per_s": [],
        }
    }


def outcomes(reference, candidate, tolerances=None):
    tolerances = tolerances or Tolerances()
    found = compare_sessions(reference, candidate, tolerances)
    gates = latency_gates(found, share=tolerances.false_alarms / 3)
    return {gate.part.rpartition(" ")[2]: gate.outcome for gate in gates}


def test_equal_sessions_pass_and_throughput_is_shown_without_a_gate():
    sessions = [session(), session(), session()]
    found = compare_sessions(sessions, sessions, Tolerances())
    assert [each.metric for each in found] == ["ttft_ms", "tpot_ms", "e2e_s", "output_tokens_per_s"]
    assert set(outcomes(sessions, sessions).values()) == {GateOutcome.PASS}
    assert found[3].tolerance is None


def test_only_what_got_slower_fails():
    candidate = [session(tpot=12.0) for _ in range(3)]
    assert outcomes([session() for _ in range(3)], candidate) == {
        "ttft_ms": GateOutcome.PASS,
        "tpot_ms": GateOutcome.FAIL,
        "e2e_s": GateOutcome.PASS,
    }


def test_faster_passes():
    assert set(outcomes([session(), session()], [session(50, 5, 0.5)] * 2).values()) == {GateOutcome.PASS}


def test_an_interval_across_the_tolerance_tells_nothing():
    candidate = [session(tpot=9.0), session(tpot=10.6), session(tpot=12.0)]
    assert outcomes([session() for _ in range(3)], candidate)["tpot_ms"] is GateOutcome.INCONCLUSIVE


def test_what_is_below_the_floor_passes_whatever_its_ratio():
    reference, candidate = ([session(tpot=value) for _ in range(3)] for value in (0.1, 0.15))
    assert outcomes(reference, candidate)["tpot_ms"] is GateOutcome.PASS, "0.05 ms are 50 %"


def test_one_trial_a_side_is_inconclusive():
    assert outcomes([session(trials=1)], [session(tpot=20, trials=1)])["tpot_ms"] is GateOutcome.INCONCLUSIVE


def test_cases_that_a_session_lacks_are_left_out():
    other = {(Case(8, 8), 1): session()[SHAPE]}
    assert compare_sessions([session()], [other], Tolerances()) == ()


def test_the_tolerance_comes_from_the_option_then_the_calibration_then_the_default():
    calibrated = CalibratedTolerance(CASE, 4, "tpot_ms", 6, 0.02, 1.06, 0.1)
    elsewhere = replace(calibrated, case=Case(1, 1), tolerance=0.2)
    calibration = Calibration(
        *("2026", {}, "cpu", "hf", "float32", "m", 1, 6, 0.01), tolerances=(elsewhere, calibrated)
    )

    def tolerance_of_tpot(tolerances):
        return compare_sessions([session()], [session()], tolerances)[1].tolerance

    assert tolerance_of_tpot(Tolerances()) == 0.05
    assert tolerance_of_tpot(Tolerances(calibration=calibration)) == 0.1
    assert tolerance_of_tpot(Tolerances(calibration=replace(calibration, tolerances=(elsewhere,)))) == 0.2
    assert tolerance_of_tpot(Tolerances(calibration=calibration, latency=0.07)) == 0.07


def simulated(random, *, sessions, shift=1.0, session_sd=0.02, trial_sd=0.01):
    """Return sessions that differ by `session_sd`, with trials that differ by `trial_sd`, relative."""
    levels = shift * 10 * random.lognormal(0, session_sd, sessions)
    untimed: dict = dict.fromkeys(NAMES, ())
    return [
        {SHAPE: {**untimed, "tpot_ms": (level * random.lognormal(0, trial_sd, TRIALS)).tolist()}}
        for level in levels
    ]


NAMES = ("ttft_ms", "tpot_ms", "e2e_s", "output_tokens_per_s", "decode_tokens_per_s")


def failure_rate(*, sessions, shift=1.0, tolerance=None, session_sd=0.02):
    numpy = pytest.importorskip("numpy")
    random = numpy.random.default_rng(2)
    failed = 0
    for _ in range(RUNS):
        reference = simulated(random, sessions=sessions, session_sd=session_sd)
        candidate = simulated(random, sessions=sessions, shift=shift, session_sd=session_sd)
        found = outcomes(reference, candidate, Tolerances(latency=tolerance))
        failed += found["tpot_ms"] is GateOutcome.FAIL
    return failed / RUNS


@pytest.mark.parametrize("sessions", [1, 3, 5])
def test_equal_runs_rarely_fail_though_sessions_differ_by_two_percent(sessions):
    assert failure_rate(sessions=sessions) <= 0.02


def test_without_a_tolerance_one_session_a_side_would_fail_again_and_again():
    """Trials of one session do not know how much sessions differ: the tolerance has to."""
    assert failure_rate(sessions=1, tolerance=0.0, session_sd=0.05) > 0.2
    assert failure_rate(sessions=5, tolerance=0.0, session_sd=0.05) <= 0.05


def test_a_slowdown_of_fifteen_percent_is_caught():
    assert failure_rate(sessions=5, shift=1.15) > 0.9
    assert failure_rate(sessions=1, shift=1.2) > 0.9


def test_the_calibrated_tolerance_is_rarely_exceeded_by_equal_sessions():
    numpy = pytest.importorskip("numpy")
    random = numpy.random.default_rng(3)
    exceeded = total = 0
    for _ in range(300):
        medians = 10 * random.lognormal(0, 0.02, 6)
        tolerance = tolerance_of(SHAPE, "tpot_ms", list(medians)).tolerance
        one, other = random.lognormal(0, 0.02, (2, 50))
        exceeded += int((other / one > 1 + tolerance).sum())
        total += 50
    assert exceeded / total <= 0.012


def test_the_tolerance_follows_from_the_spread_of_the_sessions():
    found = tolerance_of(SHAPE, "tpot_ms", [10.0, 10.1, 9.9, 10.0, 10.05, 9.95])
    assert found.largest_ratio == pytest.approx(10.1 / 9.9)
    assert found.session_cv == pytest.approx(0.00707, abs=2e-5)
    # exp(3.36493 sqrt(2) 0.00707) - 1, with the 99th percentile of Student's t at 5 degrees of freedom
    assert found.tolerance == pytest.approx(0.0342, abs=2e-4)
    assert tolerance_of(SHAPE, "tpot_ms", [10.0] * 6).tolerance == 0.01


def test_another_machine_than_the_calibrated_one_is_told():
    from made_runs import performance_result

    run = performance_result()
    calibration = calibrate([run] * 4, created="2026-01-01")
    assert list(calibration_differences(calibration, [run])) == []
    other = replace(run, machine={**run.machine, "processor": "another"})
    (difference,) = calibration_differences(calibration, [other])
    assert (difference.category, difference.fact) == ("device", "processor that was calibrated")
    assert list(calibration_differences(None, [other])) == []


def test_too_few_sessions_calibrate_nothing():
    from made_runs import performance_result

    from modeltest.api import SpecError

    with pytest.raises(SpecError, match="3 sessions do not show how much they differ; at least 4"):
        calibrate([performance_result()] * 3, created="2026-01-01")


@pytest.mark.parametrize("tpot", [5.0, 10.0, 12.0])
def test_a10_numbers_that_are_not_valid_neither_pass_nor_fail(tpot):
    sides = [session() for _ in range(3)], [session(tpot=tpot) for _ in range(3)]
    found = compare_sessions(*sides, Tolerances())
    gates = list(latency_gates(found, share=1e-4, unsound={SHAPE: Verdict.NOISY}))
    assert {gate.outcome for gate in gates} == {GateOutcome.INCONCLUSIVE}
    assert all(gate.statement.startswith("NOISY numbers decide nothing: ") for gate in gates)
