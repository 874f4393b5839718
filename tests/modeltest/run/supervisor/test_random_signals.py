"""Signals at random moments: no exit 70, nothing lost, the same results when the command is given again."""

import pytest
from signal_commands import prepare
from signal_trials import run_trials, table

QUICK = ("accuracy_fake", "performance_fake", "maxbs_fake", "compare", "dashboard")


def broken(folder, kinds, *, count, seed):
    trials = run_trials(folder, kinds, count=count, seed=seed, tell=lambda line: None)
    print(table(trials))  # noqa: T201
    return [trial for trial in trials if trial.problem]


@pytest.mark.long
@pytest.mark.timeout(3600)  # some two minutes on a quiet machine
def test_b7_ten_signals_at_random_moments_break_nothing(tmp_path):
    kinds = prepare(tmp_path, quick=True)
    assert broken(tmp_path, {name: kinds[name] for name in QUICK}, count=10, seed=7) == []


@pytest.mark.long
@pytest.mark.timeout(36000)  # an hour or more
def test_b7_two_hundred_signals_at_random_moments_break_nothing(tmp_path):
    pytest.importorskip("lm_eval")
    assert broken(tmp_path, prepare(tmp_path), count=200, seed=0) == []
