from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from suites import ABSENT, ACCURACY, BROKEN, LATENCY, LATER, results, suite

from modeltest.api import SuiteReport
from modeltest.registry import suite_reports
from reports.suite.junit_xml import SuiteJUnitXml
from reports.suite.page import SuitePage
from reports.suite.summary_md import SuiteSummaryMd

SCHEMA = Path(__file__).parents[1] / "junit.xsd"


def test_the_installed_reports_are_these() -> None:
    assert [report.name for report in suite_reports()] == ["junit", "page", "summary_md"]
    for report in (SuiteJUnitXml(), SuitePage(), SuiteSummaryMd()):
        assert isinstance(report, SuiteReport)


def test_junit_has_a_suite_per_run_and_errors_for_those_without_a_verdict(tmp_path: Path) -> None:
    etree = pytest.importorskip("lxml.etree")
    (path,) = SuiteJUnitXml().write(suite(), results(), tmp_path)
    etree.XMLSchema(etree.parse(str(SCHEMA))).assertValid(etree.parse(str(path)))
    root = ET.parse(path).getroot()
    errors = [found.attrib["message"] for found in root.iter("error")]
    assert errors == [
        "failed: <b>no device</b>",
        "refused: weights 'w' do not exist",
        "planned: the suite ended before it",
    ]
    assert [each.attrib["tests"] for each in root] == ["3", "5", "1", "1", "1"]
    assert root.attrib["failures"] == "2", "two cases of the second run"


def test_the_summary_has_a_row_per_run_and_their_own_summaries_folded(tmp_path: Path) -> None:
    markdown_it = pytest.importorskip("markdown_it")
    (path,) = SuiteSummaryMd().write(suite(), results(), tmp_path)
    text = path.read_text(encoding="utf-8")
    assert "suite nightly: partial, exit status 5" in text.splitlines()[0]
    assert "5 runs: 1 VALID, 1 INVALID, 1 failed, 1 refused, 1 planned; 1 model load\n" in text
    html = markdown_it.MarkdownIt("commonmark").enable("table").render(text)
    for name in (ACCURACY, LATENCY, BROKEN, ABSENT, LATER):
        assert f"<td>{name}</td>" in html
    assert html.count("<details>") == 2 + 2, "two runs, each with what was run on what"
    assert "<b>" not in html
    assert "weights &#39;w&#39; do not exist" in text


def test_summary_and_page_say_why_runs_are_invalid(tmp_path: Path) -> None:
    pytest.importorskip("jinja2")
    reason = "8x3 batch 2 ran out of memory"
    found = {**results(), LATENCY: replace(results()[LATENCY], reasons=(reason,))}
    for report in (SuiteSummaryMd(), SuitePage()):
        (path,) = report.write(suite(), found, tmp_path)
        text = path.read_text(encoding="utf-8").partition("<details>")[0]
        assert f"{LATENCY}: INVALID: {reason}" in text.replace("&#58;", ":"), path.name


def test_the_page_leads_to_the_pages_of_the_runs_that_have_one(tmp_path: Path) -> None:
    pytest.importorskip("jinja2")
    (tmp_path / ACCURACY).mkdir()
    (tmp_path / ACCURACY / "report.html").touch()
    (tmp_path / LATENCY / "partial").mkdir(parents=True)
    (tmp_path / LATENCY / "partial" / "report.html").touch()
    (path,) = SuitePage().write(suite(), results(), tmp_path)
    html = path.read_text(encoding="utf-8")
    assert f'<a href="{ACCURACY}/report.html">{ACCURACY}</a>' in html
    assert f'<a href="{LATENCY}/partial/report.html">{LATENCY}</a>' in html
    assert html.count('<th scope="row"><a ') == 2
    assert "<b>no device</b>" not in html
    assert "&lt;b&gt;no device&lt;/b&gt;" in html
    assert "This suite did not come to its end" in html
    assert "accuracy 50.00% (4/8)" in html
