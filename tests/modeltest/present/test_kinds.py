from dataclasses import dataclass, replace
from typing import get_args

import pytest
from accuracy_runs import accuracy_run

from modeltest.api import Finding, FindingCode, FlatMetric, Summary, Verdict
from modeltest.present import Check, Column, Level, Phrase, Presentation, Row, flat_metrics, kinds
from modeltest.present.presentation import worst
from modeltest.run.ending.finish import judge
from reports.ci.junit_xml import checks
from reports.ci.summary_md import sections
from reports.page.texts import load_texts
from reports.run_page.report import content_of, run_page

TOO_HOT = Finding(FindingCode.TEXT, {"text": "too hot"})


@dataclass(frozen=True)
class Warmth:
    """A kind of result that nobody has thought of yet."""

    degrees: float


class WarmthPresentation(Presentation[Warmth]):
    """What is shown of it, in this one place."""

    kind = "warmth"
    summary = Warmth
    columns = (Column("what"), Column("degrees"))

    def headline(self, summary):
        return f"{summary.degrees:g} degrees"

    def gist(self, summary):
        return (Phrase(self.headline(summary), is_key=True),)

    def rows(self, summary):
        yield Row(("device", f"{summary.degrees:g}"), Level.WHOLE)

    def checks(self, summary, result):
        yield Check("device", self.headline(summary))

    def metrics(self, summary, *, is_usable):
        yield FlatMetric("harness", summary.degrees if is_usable else None, "device")

    def judgement(self, summary, *, expected_questions, findings):
        return (Verdict.VALID, ()) if summary.degrees < 100 else (Verdict.INVALID, (TOO_HOT,))


@pytest.fixture
def warm(monkeypatch):
    """Return a run of that kind, known to the presentations as if its file lay in their package."""
    known = {**kinds.presentations(), Warmth: WarmthPresentation()}
    monkeypatch.setattr(kinds, "presentations", lambda: known)
    return replace(accuracy_run(), summary=Warmth(41.5), verdict=Verdict.VALID)


def test_every_kind_of_summary_has_one_presentation_and_a_name_of_its_own():
    found = kinds.presentations()
    assert set(found) == set(get_args(Summary))
    assert len({shown.kind for shown in found.values()}) == len(found)


def test_a_new_kind_is_shown_everywhere_by_its_one_file(warm):
    assert "**41.5 degrees**" in "\n".join(sections(warm))
    assert "| **device** | 41.5 |" in "\n".join(sections(warm))
    assert [check.name for check in checks(warm)] == ["run", "device"]
    assert FlatMetric("harness", 41.5, "device") in flat_metrics(warm)
    page = run_page(warm, content_of(warm, load_texts(("run", "plot"))))
    assert "41.5 degrees" in page
    assert '<th scope="row">device</th><td>41.5</td>' in page


def test_a_new_kind_judges_itself(warm):
    assert judge(warm.summary) == (Verdict.VALID, ())
    assert judge(Warmth(120.0)) == (Verdict.INVALID, (TOO_HOT,))


def test_the_worst_verdict_counts_and_nothing_at_all_is_invalid():
    assert worst([Verdict.VALID, Verdict.NOISY]) is Verdict.NOISY
    assert worst([Verdict.SUSPECT, Verdict.NOISY]) is Verdict.SUSPECT
    assert worst([]) is Verdict.INVALID


def test_counts_of_what_went_wrong_stand_in_the_summary_of_a_job():
    result = accuracy_run(error="out of memory")
    assert "| failed |  | 1 |  |  |" in "\n".join(sections(result))
