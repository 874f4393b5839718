from dataclasses import replace

import pytest
from dashboard_runs import BOOLQ, LATENCY, SEARCH, Change, Plan, write_run

from modeltest.api import Case, HarnessSummary, Mark, Verdict
from modeltest.compare.tolerances import Tolerances
from modeltest.dashboard.evidence import Answers, Evidence, evidence_of
from modeltest.dashboard.judge import Side, compare_runs, found_for, paired_table
from modeltest.run.record.directory import read_result

SLOWER = Change(first=1, last=None, time=1.2)
FASTER = Change(first=1, last=None, time=0.8)
WORSE = Change(first=1, last=None, accuracy=-0.1)
BETTER = Change(first=1, last=None, accuracy=0.1)


def side(directory) -> Side:
    result = read_result(directory)
    return Side(result, evidence_of(result, directory))


def two_nights(tmp_path, line, *changes):
    line = replace(line, changes=changes)
    return [side(write_run(tmp_path, Plan(line, night, 0), questions=200)) for night in (0, 1)]


def marks(reference, candidate, tolerances=None):
    found = compare_runs(reference, candidate, tolerances or Tolerances())
    return {family: each.mark for (family, _), each in found.items()}


def test_questions_are_paired_by_their_ids_and_failed_ones_left_out():
    before = Answers(("a", "b", "c", "d", "e"), "RRWWF")
    after = Answers(("b", "c", "d", "e", "f"), "WRWRR")
    table = paired_table(before, after)
    assert (table.both_right, table.reference_only, table.candidate_only, table.both_wrong) == (0, 1, 1, 1)


@pytest.mark.parametrize(
    ("changes", "mark"),
    [((), Mark.STEADY), ((WORSE,), Mark.REGRESSION), ((BETTER,), Mark.IMPROVEMENT)],
)
def test_accuracy_is_judged_by_the_paired_test_of_compare(tmp_path, changes, mark):
    found = compare_runs(*two_nights(tmp_path, BOOLQ, *changes), Tolerances())
    compared = found["accuracy", ""]
    assert compared.mark is mark
    assert compared.low <= compared.change <= compared.high
    assert "McNemar p" in compared.note


def test_a_drop_that_is_allowed_is_no_regression(tmp_path):
    runs = two_nights(tmp_path, BOOLQ, WORSE)
    assert marks(*runs, Tolerances(max_drop=0.3)) == {"accuracy": Mark.STEADY}


@pytest.mark.parametrize(
    ("changes", "mark"),
    [((), Mark.STEADY), ((SLOWER,), Mark.REGRESSION), ((FASTER,), Mark.IMPROVEMENT)],
)
def test_latency_is_judged_by_the_gate_of_compare(tmp_path, changes, mark):
    found = marks(*two_nights(tmp_path, LATENCY, *changes))
    assert set(found) == {"ttft_ms", "tpot_ms", "e2e_s"}
    assert found["tpot_ms"] is mark


def test_the_change_of_a_latency_is_its_ratio_less_one_with_its_interval(tmp_path):
    found = compare_runs(*two_nights(tmp_path, LATENCY, SLOWER), Tolerances())
    compared = found["tpot_ms", "256x32.batch1"]
    assert compared.change == pytest.approx(0.2, abs=0.02)
    assert compared.low < compared.change < compared.high


def test_more_may_be_tolerated(tmp_path):
    runs = two_nights(tmp_path, LATENCY, SLOWER)
    assert set(marks(*runs, Tolerances(latency=0.5)).values()) == {Mark.STEADY}


@pytest.mark.parametrize(
    ("changes", "mark"),
    [((), Mark.STEADY), ((SLOWER,), Mark.REGRESSION), ((FASTER,), Mark.IMPROVEMENT)],
)
def test_a_search_is_judged_by_the_gate_of_compare(tmp_path, changes, mark):
    found = compare_runs(*two_nights(tmp_path, SEARCH, *changes), Tolerances())
    assert found["max_batch", "128x16.within_30_ms"].mark is mark


def test_runs_that_compare_refuses_are_not_compared_and_it_is_said_why(tmp_path):
    before, after = two_nights(tmp_path, BOOLQ, WORSE)
    after = replace(after, result=replace(after.result, protocol_version="another"))
    compared = found_for(compare_runs(before, after, Tolerances()), "accuracy", "")
    assert compared.mark is Mark.UNCOMPARED
    assert compared.note.startswith("not comparable: protocol version ")


def test_runs_with_other_cases_are_compared_in_those_they_share(tmp_path):
    before, after = two_nights(tmp_path, LATENCY)
    spec = replace(after.result.spec, cases=(after.result.spec.cases[0],))
    trials = tuple(each for each in after.evidence.trials if each.case == Case(256, 32))
    after = Side(replace(after.result, spec=spec), Evidence(trials=trials))
    found = compare_runs(before, after, Tolerances())
    assert {part for _, part in found} == {"256x32.batch1", "256x32.batch8"}
    assert found_for(found, "tpot_ms", "1024x32.batch1").mark is Mark.UNCOMPARED


def test_without_evidence_nothing_is_said(tmp_path):
    before, after = two_nights(tmp_path, BOOLQ, WORSE)
    assert compare_runs(before, replace(after, evidence=None), Tolerances()) == {}


def test_numbers_without_a_gate_are_not_judged(tmp_path):
    before, after = two_nights(tmp_path, BOOLQ)
    summary = HarnessSummary("lm-eval", None, ())
    after = replace(after, result=replace(after.result, summary=summary))
    assert compare_runs(before, after, Tolerances()) == {}


def _noisy(one: Side) -> Side:
    """Return a side whose cases are all NOISY."""
    cases = tuple(replace(case, verdict=Verdict.NOISY) for case in one.result.summary.cases)
    summary = replace(one.result.summary, cases=cases)
    return replace(one, result=replace(one.result, summary=summary, verdict=Verdict.NOISY))


@pytest.mark.parametrize("change", [SLOWER, FASTER])
@pytest.mark.parametrize("noisy", [(True, True), (True, False), (False, True)])
def test_a10_numbers_that_are_not_valid_are_at_most_unclear(tmp_path, change, noisy):
    sides = two_nights(tmp_path, LATENCY, change)
    assert {Mark.REGRESSION, Mark.IMPROVEMENT} & set(marks(*sides).values())
    sides = [_noisy(one) if is_noisy else one for one, is_noisy in zip(sides, noisy, strict=True)]
    found = compare_runs(*sides, Tolerances())
    assert {each.mark for each in found.values()} <= {Mark.DOUBTFUL, Mark.STEADY}
    doubtful = [each for each in found.values() if each.mark is Mark.DOUBTFUL]
    assert doubtful
    assert all("beyond doubt" not in each.note for each in doubtful)
    assert all(each.note == "unclear: one of the two is NOISY, which decides nothing" for each in doubtful)
