import json

import jsonschema
import pytest
from made_answers import sample
from made_runs import accuracy_result, performance_result, precision_result

from modeltest import registry
from modeltest.compare.runs import RunToCompare, compare_runs
from modeltest.compare.tolerances import Tolerances
from modeltest.schema import schemas
from reports.comparison_json import ComparisonJson
from reports.comparison_md import ComparisonMarkdown


def compare(reference, candidate):
    return compare_runs(
        [RunToCompare("A", reference)], [RunToCompare("B", candidate)], tolerances=Tolerances()
    )


COMPARISONS = {
    "accuracy": compare(
        accuracy_result([sample("law/0", "yes", logprobs=(-0.1, -2)), sample("art/0", "no")]),
        accuracy_result([sample("law/0", "no", logprobs=(-2, -0.1)), sample("art/0", "no")]),
    ),
    "performance": compare(performance_result(), performance_result(14)),
    "precision": compare(
        precision_result(logprobs=(-1.0, -1.0, -1.0)),
        precision_result((5, 9, 7), logprobs=(-1.0, -2.0, -1.0)),
    ),
}


@pytest.mark.parametrize("comparison", COMPARISONS.values(), ids=COMPARISONS)
def test_json_follows_the_schema(comparison):
    content = json.loads(ComparisonJson().render(comparison))
    jsonschema.validate(content, schemas()["comparison.schema.json"])
    assert content["outcome"] == comparison.outcome.value


@pytest.mark.parametrize("comparison", COMPARISONS.values(), ids=COMPARISONS)
def test_markdown_has_every_gate_and_whole_tables(comparison):
    text = ComparisonMarkdown().render(comparison)
    assert text.startswith(f"# {comparison.outcome.value}: ")
    for gate in comparison.gates:
        assert gate.outcome.value in text
    tables = [block.splitlines() for block in text.split("\n\n") if block.startswith("|")]
    assert len(tables) >= 2
    for table in tables:
        unescaped = [line.replace("\\|", "") for line in table]
        assert len({line.count("|") for line in unescaped}) == 1, table


def test_text_of_a_model_is_no_markup():
    hostile = "<script>|`x`\n# **bold** @you"
    found = compare(
        accuracy_result([sample("s/0", hostile, expected=hostile), sample("s/1", "yes")]),
        accuracy_result([sample("s/0", "no", expected=hostile), sample("s/1", "yes")]),
    )
    text = ComparisonMarkdown().render(found)
    assert "\\<script\\>\\|\\`x\\` # \\*\\*bold\\*\\* \\@you" in text
    assert "<script>" not in text


def test_every_report_of_a_comparison_is_found_by_its_name():
    names = registry.comparison_report_names()
    assert {"json", "markdown"} <= set(names)
    assert [report.name for report in registry.comparison_reports()] == list(names)
    assert len({report.file_name for report in registry.comparison_reports()}) == len(names)
