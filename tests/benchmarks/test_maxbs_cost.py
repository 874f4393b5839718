import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from maxbs_comparison.bisection import bisect
from maxbs_comparison.rounds import Answer, Question, Round
from maxbs_comparison.summary import document, is_same_or_better, summarize

SCRIPT = Path(__file__).resolve().parents[2] / "benchmarks" / "maxbs_cost.py"
QUESTION = Question(64, 64, 1, 2048, 25.0)


def _answer(batch: int | None, referee_ms: float | None, wall_s: float = 10.0) -> Answer:
    return Answer(batch, "FOUND", wall_s, 1, 20, (1, 4, 32), referee_ms)


def _round(theirs: tuple[int | None, float | None], ours: tuple[int | None, float | None]) -> Round:
    referee = {batch: [ms - 0.1, ms, ms + 0.1] for batch, ms in (theirs, ours) if batch and ms}
    return Round(_answer(*theirs, wall_s=60.0), _answer(*ours), _answer(*ours, wall_s=5.0), referee)


def run(*words: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(SCRIPT), *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=280)


@pytest.mark.parametrize("truth", [0, 1, 77, 100])
def test_bisection_finds_the_answer_in_as_many_probes_as_the_range_has_bits(truth: int) -> None:
    best, samples = bisect(1, 100, 50.0, lambda size: 10.0 if size <= truth else 90.0)
    assert best == (truth or None)
    assert len(samples) <= 7
    assert samples[0].batch_size == 50


def test_what_does_not_fit_fails_in_the_bisection() -> None:
    assert bisect(1, 100, 50.0, lambda size: 10.0 if size <= 3 else None)[0] == 3


@pytest.mark.parametrize(
    ("theirs", "ours", "expected"),
    [
        ((40, 24.0), (40, 24.0), True),
        ((40, 24.0), (41, 24.5), True),
        ((44, 25.8), (41, 24.5), True),  # theirs is over the limit
        ((44, 24.9), (30, 20.0), False),
        ((44, 24.9), (43, 24.8), True),  # no trial tells them apart
        ((40, 24.0), (44, 25.8), False),  # ours is over the limit
        ((None, None), (None, None), True),
        ((40, 24.0), (None, None), False),
    ],
)
def test_an_answer_is_judged_by_the_referee(theirs, ours, expected: bool) -> None:
    found = _round(theirs, ours)
    assert is_same_or_better(QUESTION, found, found.modeltest) is expected


def test_the_goal_is_five_times_less_wall_time_by_the_medians() -> None:
    reached = _round((40, 24.0), (40, 24.0))
    assert summarize(QUESTION, [reached]).missed == ()
    assert summarize(QUESTION, [reached]).times_faster == 6.0
    slow = replace(reached, modeltest=_answer(40, 24.0, wall_s=20.0))
    assert summarize(QUESTION, [slow]).missed == ("3.0 times less wall time, goal 5",)
    assert summarize(QUESTION, [reached, reached, slow]).missed == ()
    worse = _round((44, 24.9), (30, 20.0))
    assert summarize(QUESTION, [reached, worse]).missed == ("a worse answer in round 2",)


def test_the_document_has_a_row_for_each_search_of_each_round() -> None:
    rounds = [_round((44, 25.8), (41, 24.5))] * 2
    text = document(QUESTION, rounds, model="15M", machine={"processor": "x"}, command="python x")
    assert "| 1 | bisection, a load per probe | 44 | FOUND | 25.80 | no | 60.0 | 1 | 20 |" in text
    assert "| 2 | ModelTest | 41 | FOUND | 24.50 | yes | 10.0 | 1 | 20 |" in text
    assert "ModelTest: **6.0 times less wall time** (goal 5), 60.0 s and 10.0 s; goals reached." in text
    assert "`--quick`: **12.0 times less wall time** (goal 5), 60.0 s and 5.0 s; goals reached." in text
    assert "- round 1: ModelTest measured 1, 4, 32" in text


def test_help_says_what_is_needed_and_how_to_begin() -> None:
    text = run("--help").stdout
    for words in ("modeltest data fetch", "--quick", "--work-dir", "referee", "5 times less wall time"):
        assert words in text


@pytest.mark.slow
def test_both_searches_answer_and_the_referee_measures_them(tmp_path: Path, shared_data: Path) -> None:
    json_file = tmp_path / "figures.json"
    done = run(
        *("--quick", "--model", "2M", "--case", "8", "4", "--range", "1", "3", "--limit-ms", "1000"),
        *("--data-dir", shared_data, "--work-dir", tmp_path / "work", "--json", json_file),
    )
    assert done.returncode == 0, done.stderr
    (found,) = json.loads(json_file.read_text())["rounds"]
    assert (found["predecessor"]["max_batch"], found["modeltest"]["max_batch"]) == (3, 3)
    assert (found["predecessor"]["probes"], found["predecessor"]["loads"]) == ([2, 3], 2)
    for way in ("modeltest", "quick"):
        assert (found[way]["status"], found[way]["loads"]) == ("RANGE_LIMITED", 1)
    assert len(found["referee"]["3"]) == 9
