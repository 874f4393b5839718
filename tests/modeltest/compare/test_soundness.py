from dataclasses import replace

import pytest
from made_runs import performance_result

from modeltest.api import Case, Decision, Verdict
from modeltest.compare.runs import compare_runs
from modeltest.compare.sessions import RunToCompare
from modeltest.compare.soundness import unsound_shapes
from modeltest.compare.tolerances import Tolerances

SHAPE = (Case(8, 3), 1)


def run_with(verdict: Verdict, step_ms: float = 10.0):
    result = performance_result(step_ms)
    cases = tuple(replace(case, verdict=verdict, reasons=()) for case in result.summary.cases)
    return replace(result, summary=replace(result.summary, cases=cases), verdict=verdict)


def test_parts_that_are_not_valid_in_any_run_are_named():
    assert unsound_shapes([run_with(Verdict.VALID)]) == {}
    runs = [run_with(Verdict.VALID), run_with(Verdict.NOISY), run_with(Verdict.INVALID)]
    assert unsound_shapes(runs) == {SHAPE: Verdict.NOISY}
    assert unsound_shapes(runs, ("noisy",)) == {SHAPE: "INVALID"}
    assert unsound_shapes(runs, ("noisy", "invalid")) == {}


def outcome(reference, candidate, *allow):
    sides = [RunToCompare("r", reference)], [RunToCompare("c", candidate)]
    return compare_runs(*sides, tolerances=Tolerances(), allow=allow).outcome


@pytest.mark.parametrize("noisy", [0, 1])
def test_a10_compare_decides_nothing_by_noisy_numbers_unless_it_is_told_to(noisy):
    runs = [run_with(Verdict.VALID, 10.0), run_with(Verdict.VALID, 15.0)]
    assert outcome(*runs) is Decision.REJECT
    runs[noisy] = run_with(Verdict.NOISY, (10.0, 15.0)[noisy])
    assert outcome(*runs) is Decision.UNDECIDED
    assert outcome(*runs, "noisy") is Decision.REJECT
