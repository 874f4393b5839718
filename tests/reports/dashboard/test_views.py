import json
from dataclasses import replace

from dashboards import WORSE, dashboard, run, series

from modeltest.api import Finding, FindingCode, History, Point, RunState, Verdict
from modeltest.findings import sentence, sentences
from reports.dashboard.views import (
    SPARK_POINTS,
    headline_of,
    history_view,
    overview_view,
    run_view,
    runs_view,
)
from reports.page import render


class Pages:
    def page_of(self, key):
        return None if key == 3 else f"reports/{key}.html"


TWO = dashboard(run(1, 1), run(2, 2))
"""Of which the second is worse."""


def test_the_overview_has_a_row_per_number_with_its_latest_values():
    (row,) = overview_view(TWO)["rows"]
    assert (row["model"], row["family"], row["unit"], row["better"], row["n"]) == (
        "gemma-7b",
        "accuracy",
        "ratio",
        1,
        2,
    )
    assert (row["value"], row["low"], row["high"]) == ([0.8, 0.7], [0.7, 0.6], [0.9, 0.8])
    assert row["mark"] == ["u", "r"]
    assert row["since"] == "2026-01-02T01:00:00+00:00"
    assert row["compared"]["reference"] == "2026-01-01T01:00:00+00:00"
    assert row["compared"]["change"] == -0.1


def test_a_long_history_shows_its_latest_values_only():
    runs = [run(key, 1 + key % 28) for key in range(1, 101)]
    points = tuple(Point(each.key, float(each.key)) for each in runs)
    history = History("g", "m", "t", "e", "d", tuple(each.key for each in runs), (series(*points),))
    (row,) = overview_view(dashboard(*runs, histories=(history,)))["rows"]
    assert (len(row["value"]), row["value"][-1], row["n"]) == (SPARK_POINTS, 100.0, 100)


def test_since_when_a_number_is_worse_is_the_first_run_without_a_better_one_after():
    runs = [run(key, key) for key in (1, 2, 3, 4)]
    points = (
        Point(1, 0.7, compared=WORSE),
        Point(2, 0.8),
        Point(3, 0.7, compared=WORSE),
        Point(4, 0.7, compared=WORSE),
    )
    history = History("g", "m", "t", "e", "d", (1, 2, 3, 4), (series(*points),))
    (row,) = overview_view(dashboard(*runs, histories=(history,)))["rows"]
    assert row["since"] == "2026-01-03T01:00:00+00:00"


def test_a_history_without_a_number_is_in_the_overview():
    failed = run(1, 1, state=RunState.FAILED, metrics=())
    history = History("g", "gemma-7b", "full_BoolQ", "hf", "cpu", (1,), ())
    (row,) = overview_view(dashboard(failed, histories=(history,)))["rows"]
    assert (row["model"], row["family"], row["value"], row["headline"]) == ("gemma-7b", "", [], True)


def test_the_number_that_became_worse_stands_for_a_history():
    better, worse = (
        series(Point(1, 0.8)),
        series(Point(1, 9.0, compared=WORSE), family="ttft_ms", part="8x4.batch1"),
    )
    assert headline_of(History("g", "m", "t", "e", "d", (1,), (better, worse))) is worse
    assert headline_of(History("g", "m", "t", "e", "d", (1,), (better,))) is better
    assert headline_of(History("g", "m", "t", "e", "d", (1,), ())) is None


def test_cases_are_in_the_order_of_their_numbers():
    parts = ("256x32.batch8", "1024x32.batch1", "256x32.batch1", "256x32.batch16")
    found = tuple(series(Point(1, 1.0), family="tpot_ms", part=part) for part in parts)
    history = History("g", "m", "t", "e", "d", (1,), found)
    view = history_view(dashboard(run(1, 1), histories=(history,)), history, Pages())
    order = [each["part"] for each in view["series"]]
    assert order == ["256x32.batch1", "256x32.batch8", "256x32.batch16", "1024x32.batch1"]


def test_a_history_has_its_whole_series_with_what_each_point_is_compared_with():
    (history,) = TWO.histories
    view = history_view(TWO, history, Pages())
    assert view["series"][0]["points"] == [
        [0, 0.8, 0.7, 0.9, "u", None, None, None, None, None],
        [1, 0.7, 0.6, 0.8, "r", -0.1, -0.15, -0.05, 0, {"en": "10 questions"}],
    ]
    assert [each["page"] for each in view["runs"]] == ["../reports/1.html", "../reports/2.html"]


def test_all_runs_are_listed_the_newest_first_with_their_worst_mark():
    broken = run(3, 3, state=RunState.UNREADABLE, problem="it has no run.json", history=None, metrics=())
    shown = dashboard(run(1, 1), run(2, 2), histories=TWO.histories)
    rows = runs_view(type(shown)({**shown.runs, 3: broken}, shown.histories, "0.1.0"), Pages())["rows"]
    assert [(row["state"], row["mark"], row["page"]) for row in rows] == [
        ("unreadable", None, None),
        ("complete", "regression", "reports/2.html"),
        ("complete", None, "reports/1.html"),
    ]
    assert rows[0]["problem"] == "it has no run.json"


def test_the_small_page_has_the_numbers_as_people_write_them():
    view = run_view(TWO, TWO.runs[1])["run"]
    assert view["metrics"] == [
        {"family": "accuracy", "part": "", "value": "80.00 %", "low": "70.00 %", "high": "90.00 %"}
    ]
    assert view["title"] == "gemma-7b · full_BoolQ · hf_fp32 (hf)"


def test_what_ended_a_run_is_said_first():
    failed = run(1, 1, state=RunState.FAILED, problem="killed", reasons=("why",))
    view = run_view(TWO, failed)["run"]
    assert (view["problem"], view["reasons"]) == ("killed", ["why"])
    page = render("dashboard_run", run_view(TWO, failed), None)
    assert page.index(">killed<") < page.index(">why<")


def test_reasons_and_notes_are_there_in_both_languages():
    reason = Finding(FindingCode.NO_METRIC)
    note = Finding(FindingCode.NOT_IN_BOTH_RUNS)
    told = {"reasons": sentences([reason]), "reason_codes": (reason,)}
    vanished = Finding(FindingCode.SUPERVISOR_VANISHED)
    runs = (run(1, 1), run(2, 2, problem=sentence(vanished), problem_code=vanished, **told))
    worse = replace(WORSE, note=sentence(note), note_code=note)
    points = (Point(1, 0.8), Point(2, 0.7, compared=worse))
    names = ("gemma", "gemma-7b", "full_BoolQ", "hf_fp32 (hf)", "cpu")
    made = dashboard(*runs, histories=(History(*names, (1, 2), (series(*points),)),))
    view = history_view(made, made.histories[0], Pages())
    assert view["runs"][1]["reasons"] == [{"en": "there is not one metric", "zh": "没有任何指标"}]
    assert view["series"][0]["points"][1][-1] == {"en": "not in both runs", "zh": "并非两次运行都有"}
    in_both = {"en": sentence(vanished), "zh": sentence(vanished, "zh")}
    assert view["runs"][1]["problem"] == in_both
    assert runs_view(made, Pages())["rows"][0]["said_problem"] == in_both
    assert "没有任何指标" in render("dashboard_run", run_view(made, runs[1]), "zh")


def test_every_view_is_json():
    (history,) = TWO.histories
    for view in (overview_view(TWO), runs_view(TWO, Pages()), history_view(TWO, history, Pages())):
        json.dumps(view, allow_nan=False)


def test_a_run_that_decided_is_told_by_its_decision():
    rejected = run(1, 1, decision="REJECT", decision_tone=Verdict.INVALID)
    (row,) = runs_view(dashboard(rejected), Pages())["rows"]
    assert (row["verdict"], row["word"], row["tone"]) == ("VALID", "REJECT", "INVALID")
    page = render("dashboard_run", run_view(dashboard(rejected), rejected), None)
    assert 'class="verdict tone-INVALID"' in page
    assert '<span class="word">REJECT</span>' in page
