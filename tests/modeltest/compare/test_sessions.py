from dataclasses import replace

from made_runs import performance_result, with_spec

from modeltest.api import RunDifference
from modeltest.compare.runs import compare_runs
from modeltest.compare.sessions import RunToCompare, together, warnings_of
from modeltest.compare.tolerances import Tolerances
from modeltest.findings import sentences


def side(*warnings):
    return [
        RunToCompare(str(index), replace(performance_result(), warnings=own))
        for index, own in enumerate(warnings)
    ]


def test_a_warning_says_whose_it_is_and_that_of_both_is_told_once():
    found = warnings_of(side(("cut", "noisy")), side(("cut", "hot")))
    assert sentences(found) == ("cut", "reference: noisy", "candidate: hot")


def test_of_the_warnings_of_many_sessions_the_first_are_told():
    reference = side(("a", "b"), ("c",), ("d", "e"))
    assert sentences(warnings_of(reference, side(()))) == (
        "reference: a",
        "reference: b",
        "reference: c",
        "reference: 2 more warnings, in the summary.md of its runs",
    )


def test_a_fact_that_differs_in_many_sessions_is_one_line():
    seeds = [RunDifference("", "seed", "1", str(seed)) for seed in (2, 2, 3, 4, 5, 6)]
    device = RunDifference("device", "device", "cpu", "npu")
    assert together([device, *seeds]) == (device, RunDifference("", "seed", "1", "2, 3, 4, 5, ..."))
    two = [RunDifference("device", "device", "cpu", name) for name in ("npu", "cuda")]
    assert together(two) == tuple(two), "what stops a comparison is told one by one"


def test_sessions_with_seeds_of_their_own_are_compared_without_a_wall_of_lines():
    runs = [RunToCompare(str(seed), with_spec(performance_result(), seed=seed)) for seed in range(4)]
    found = compare_runs(runs[:2], runs[2:], tolerances=Tolerances())
    assert [(each.fact, each.candidate) for each in found.differences] == [("seed", "1, 2, 3")]
