import json
import re
import sys

import jsonschema
import pytest
from made_answers import sample
from made_comparisons import compare, made_comparisons
from made_runs import accuracy_result

from modeltest import registry
from modeltest.api import MissingExtra
from modeltest.installation import install_command
from modeltest.schema import schemas
from reports.comparison.json_file import ComparisonJson
from reports.comparison.markdown import ComparisonMarkdown
from reports.comparison.page import ComparisonHtml

COMPARISONS = made_comparisons()


@pytest.mark.parametrize("comparison", COMPARISONS.values(), ids=COMPARISONS)
def test_json_follows_the_schema(comparison):
    content = json.loads(ComparisonJson().render(comparison))
    jsonschema.validate(content, schemas()["comparison.schema.json"])
    assert content["outcome"] == comparison.outcome.value


@pytest.mark.parametrize("comparison", COMPARISONS.values(), ids=COMPARISONS)
def test_markdown_has_every_gate_and_whole_tables(comparison):
    text = ComparisonMarkdown().render(comparison)
    assert text.startswith(f"# {comparison.outcome.value}")
    for gate in comparison.gates:
        assert gate.outcome.value in text
    tables = [block.splitlines() for block in text.split("\n\n") if block.startswith("|")]
    assert len(tables) >= 2
    for table in tables:
        assert len({line.count("|") for line in table}) == 1, table


def test_text_of_a_model_is_no_markup():
    text = ComparisonMarkdown().render(COMPARISONS["accuracy"])
    assert "<script>" not in text
    assert "&#60;script&#62;" in text
    assert "@you" not in text


@pytest.mark.parametrize("comparison", COMPARISONS.values(), ids=COMPARISONS)
def test_the_page_has_every_gate_and_runs_nothing_of_a_model(comparison):
    pytest.importorskip("jinja2")
    page = ComparisonHtml().render(comparison)
    assert "alert(1)</script>" not in page
    for gate in comparison.gates:
        assert gate.outcome.value in page


def test_without_jinja2_the_page_says_which_extra_brings_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "jinja2", None)
    monkeypatch.setattr("reports.page.extra.find_spec", lambda _name: None)
    with pytest.raises(MissingExtra, match=re.escape(install_command("report"))):
        ComparisonHtml().render(COMPARISONS["accuracy"])


def test_every_report_of_a_comparison_is_found_by_its_name():
    names = registry.comparison_report_names()
    assert {"html", "json", "markdown"} <= set(names)
    assert [report.name for report in registry.comparison_reports()] == list(names)
    assert len({report.file_name for report in registry.comparison_reports()}) == len(names)


def test_markdown_and_the_page_tell_what_is_in_no_pair():
    lost = {"answer": None, "error": "lost"}
    found = compare(
        *(
            accuracy_result(
                [
                    sample("s/0", **{"answer": "yes", **one}),
                    sample("s/1", **{"answer": "yes", **other}),
                    sample("s/2", "yes", tokens=(1, last)),
                    sample("s/3", **lost),
                ]
            )
            for one, other, last in (({}, lost, 2), (lost, {}, 3))
        )
    )
    text = ComparisonMarkdown().render(found)
    assert "1 questions failed in the reference alone and make no pair." in text
    assert "1 questions failed in the candidate alone and make no pair." in text
    assert "1 questions failed in both runs." in text
    assert "Generated tokens: 0 of 1 outputs are the same as far as both go." in text
    pytest.importorskip("jinja2")
    page = ComparisonHtml().render(found)
    for words in ("Failed in the candidate alone", "Failed in the reference alone", "Failed in both"):
        assert words in page


def test_markdown_has_the_divergence_of_tokens_and_that_it_is_the_least():
    text = ComparisonMarkdown().render(COMPARISONS["precision"])
    assert "KL divergence of 1 tokens: mean 0, largest 0 nats, the least these can be." in text
