import json

import pytest

import modeltest
from modeltest.api import Decision, SpecError
from modeltest.cli.root import root
from modeltest.compare.comparable import NotComparableError


def test_a_run_compared_with_itself_passes_every_gate(accuracy_run):
    comparison = modeltest.compare_runs(accuracy_run, str(accuracy_run))
    assert comparison.outcome is not Decision.REJECT
    assert {gate.name for gate in comparison.gates} >= {"failures", "accuracy"}


def test_paths_and_loaded_runs_come_to_the_same(timed_run):
    loaded = modeltest.load_run(timed_run)
    assert modeltest.compare_runs(loaded, loaded) == modeltest.compare_runs(timed_run, timed_run)
    assert modeltest.compare_runs([loaded], [timed_run]) == modeltest.compare_runs(timed_run, loaded)


def test_the_command_says_what_the_function_returns(timed_run, capsys):
    root.main(["compare", str(timed_run), str(timed_run), "--format", "json"], standalone_mode=False)
    printed = json.loads(capsys.readouterr().out)
    comparison = modeltest.compare_runs(timed_run, timed_run)
    assert printed["outcome"] == comparison.outcome
    assert [each["value"] for each in printed["gates"]] == [gate.value for gate in comparison.gates]


def test_what_differs_is_refused_unless_it_is_allowed(accuracy_run, timed_run):
    with pytest.raises(NotComparableError):
        modeltest.compare_runs(accuracy_run, timed_run, allow="all")  # another task: nothing helps


@pytest.mark.parametrize(
    ("tolerances", "message"),
    [
        ({"max_drop": 0.5, "confidence": 0.4}, "confidence 40.0000% must lie between 50% and 100%"),
        ({"max_drop": 5.0}, "max_drop is 5; it is a fraction"),
        ({"max_kl": -1.0}, "max_kl is -1; a tolerance is 0 or more"),
        ({"alarms_per_year": 0.0}, "0 false alarms in 3650 comparisons a year are none or too many"),
        ({"comparisons_per_year": 1.0}, "1 false alarms in 1 comparisons a year are none or too many"),
        ({"latency": float("nan")}, "latency is nan; a tolerance is 0 or more"),
    ],
)
def test_a_tolerance_that_makes_no_sense_is_refused(accuracy_run, tolerances, message):
    with pytest.raises(SpecError, match=message):
        modeltest.compare_runs(accuracy_run, accuracy_run, tolerances=modeltest.Tolerances(**tolerances))


def test_an_unknown_word_of_allow_is_refused_with_those_that_are_known(accuracy_run):
    with pytest.raises(SpecError, match=r"'devices' cannot be allowed to differ; these can: dataset, .*all"):
        modeltest.compare_runs(accuracy_run, accuracy_run, allow={"devices"})


@pytest.mark.parametrize("loads", [True, False])
def test_a_run_counts_as_one_session(timed_run, loads):
    again = modeltest.load_run(timed_run) if loads else timed_run.parent / "." / timed_run.name
    with pytest.raises(SpecError, match="given twice as a session of the candidate"):
        modeltest.compare_runs(timed_run, [timed_run, again])


def test_no_run_at_all_is_refused(timed_run):
    with pytest.raises(SpecError, match="no run is given as the reference"):
        modeltest.compare_runs([], timed_run)


def test_a_side_is_no_twin_of_itself(accuracy_run):
    with pytest.raises(SpecError, match="is given twice; a twin is another run than the sides"):
        modeltest.compare_runs(accuracy_run, accuracy_run, twins=accuracy_run)
