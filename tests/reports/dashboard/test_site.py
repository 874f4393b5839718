import os
import re
from dataclasses import replace

import pytest
from dashboards import dashboard, run

from modeltest.api import PrerequisiteError, RunState
from reports.dashboard import run_pages, site

pytest.importorskip("jinja2")

HOSTILE = "<script>alert(1)</script>&'\"</textarea>"


def build(directory, shown, language=None):
    return sorted(
        str(path.relative_to(directory))
        for path in site.HtmlSite().build(shown, directory, language=language)
    )


@pytest.fixture
def report(tmp_path):
    folder = tmp_path / "runs" / "02"
    folder.mkdir(parents=True)
    path = folder / "report.html"
    path.write_text("the report")
    return path


@pytest.fixture
def shown(report):
    return dashboard(run(1, 1), run(2, 2, report=str(report)))


@pytest.fixture
def directory(tmp_path):
    folder = tmp_path / "site"
    folder.mkdir()
    return folder


def test_a_site_has_an_overview_all_runs_and_a_page_per_history_and_run(directory, shown):
    assert build(directory, shown) == ["history/gemma.html", "index.html", "runs.html", "runs/1.html"]
    assert (directory / "reports" / "2.html").read_text() == "the report"


def test_pages_that_would_be_the_same_are_left_alone(directory, shown):
    build(directory, shown)
    before = {path: path.stat().st_mtime_ns for path in directory.rglob("*.html")}
    assert build(directory, shown) == []
    assert {path: path.stat().st_mtime_ns for path in directory.rglob("*.html")} == before


def test_a_page_that_was_removed_or_cut_short_is_written_again(directory, shown):
    build(directory, shown)
    (directory / "index.html").unlink()
    (directory / "runs.html").write_text("cut")
    assert build(directory, shown) == ["index.html", "runs.html"]


def test_only_pages_that_say_something_new_are_written(directory, shown):
    build(directory, shown)
    changed = dashboard(run(1, 1, command="another"), shown.runs[2])
    assert build(directory, changed) == ["history/gemma.html", "runs/1.html"]


def test_another_version_of_the_pages_writes_all_anew(directory, shown, monkeypatch):
    build(directory, shown)
    monkeypatch.setattr(site, "_source_digest", lambda: "other")
    assert len(build(directory, shown)) == 4


def test_pages_of_what_is_no_more_are_removed(directory, shown):
    build(directory, shown)
    build(directory, dashboard(run(5, 5)))
    left = sorted(str(path.relative_to(directory)) for path in directory.rglob("*.html"))
    assert left == ["history/gemma.html", "index.html", "runs.html", "runs/5.html"]


def test_a_report_is_a_link_that_follows_a_new_one(directory, shown, report):
    build(directory, shown)
    assert os.path.samefile(report, directory / "reports" / "2.html")  # noqa: PTH121
    other = report.with_name("new")
    other.write_text("a new report")
    other.replace(report)
    build(directory, shown)
    assert (directory / "reports" / "2.html").read_text() == "a new report"


def test_where_no_link_is_possible_a_report_is_copied_once(directory, shown, report, monkeypatch):
    def no_link(*_):
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(run_pages.os, "link", no_link)
    build(directory, shown)
    copy = directory / "reports" / "2.html"
    assert copy.read_text() == "the report"
    inode = copy.stat().st_ino
    build(directory, shown)
    assert copy.stat().st_ino == inode
    report.write_text("longer than before")
    build(directory, shown)
    assert copy.read_text() == "longer than before"
    assert not list((directory / "reports").glob(".*"))


def test_a_report_that_is_gone_gives_way_to_a_small_page(directory, shown, report):
    build(directory, shown)
    report.unlink()
    assert "runs/2.html" in build(directory, shown)
    assert not (directory / "reports" / "2.html").exists()


def test_a_run_that_cannot_be_read_has_no_page_and_is_listed(directory):
    broken = run(2, 2, state=RunState.UNREADABLE, problem="it has no run.json", history=None)
    shown = dashboard(run(1, 1))
    build(directory, replace(shown, runs={**shown.runs, 2: broken}))
    assert not (directory / "runs" / "2.html").exists()
    assert "runs.html#state=unreadable" in (directory / "index.html").read_text()


def test_what_runs_say_is_never_markup(directory):
    hostile = run(
        1,
        1,
        model=HOSTILE,
        task=HOSTILE,
        engine=HOSTILE,
        command=HOSTILE,
        reasons=(HOSTILE,),
        warnings=(HOSTILE,),
        facts={HOSTILE: HOSTILE},
        problem=HOSTILE,
    )
    shown = dashboard(hostile)
    history = replace(shown.histories[0], model=HOSTILE, task=HOSTILE, engine=HOSTILE)
    build(directory, replace(shown, histories=(history,)))
    for path in directory.rglob("*.html"):
        text = path.read_text(encoding="utf-8")
        assert "alert(1)</script>" not in text, path
        assert not re.search(r"<script>alert", text), path


def test_a_site_without_a_run_says_so(directory):
    assert build(directory, dashboard(histories=())) == ["index.html", "runs.html"]


def test_a_language_can_be_asked_for(directory, shown):
    build(directory, shown, "zh")
    assert '<html lang="zh"' in (directory / "index.html").read_text(encoding="utf-8")


def test_a_page_that_cannot_be_written_is_said(directory, shown):
    (directory / "history").write_text("a file in the way")
    with pytest.raises(PrerequisiteError, match="cannot create"):
        build(directory, shown)
