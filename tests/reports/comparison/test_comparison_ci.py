import json
from pathlib import Path
from xml.etree import ElementTree as ET

import jsonschema
import pytest
from made_comparisons import made_comparisons
from prometheus_client.openmetrics.parser import text_string_to_metric_families
from timed_runs import schema

from modeltest.api import Decision, GateOutcome
from modeltest.registry import load_comparison_report
from reports.comparison.ci import ComparisonJUnit, ComparisonMetrics, ComparisonOpenMetrics, gate_name

COMPARISONS = made_comparisons()
SCHEMA = Path(__file__).parents[1] / "junit.xsd"
RISING = ("accuracy", "subjects", "outputs", "max_batch")
every_comparison = pytest.mark.parametrize("comparison", COMPARISONS.values(), ids=COMPARISONS)


@every_comparison
def test_every_gate_is_a_test_case_that_fails_as_it_does(comparison):
    etree = pytest.importorskip("lxml.etree")
    text = ComparisonJUnit().render(comparison)
    etree.XMLSchema(etree.parse(str(SCHEMA))).assertValid(etree.fromstring(text.encode()))
    (suite,) = ET.fromstring(text)
    kinds = {GateOutcome.FAIL: ["failure"], GateOutcome.INCONCLUSIVE: ["skipped"], GateOutcome.PASS: []}
    *cases, decision = suite.findall("testcase")
    is_accepted = comparison.outcome is Decision.ACCEPT
    assert decision.attrib["name"] == "decision"
    assert [child.tag for child in decision if child.tag != "system-out"] == ["failure"][is_accepted:]
    assert decision.findtext("system-out").startswith(comparison.outcome.value)
    assert len(cases) == len(comparison.gates)
    for case, gate in zip(cases, comparison.gates, strict=True):
        assert [child.tag for child in case if child.tag != "system-out"] == kinds[gate.outcome]
    outcomes = [gate.outcome for gate in comparison.gates]
    assert suite.attrib["failures"] == str(outcomes.count(GateOutcome.FAIL) + (not is_accepted))
    assert suite.attrib["skipped"] == str(outcomes.count(GateOutcome.INCONCLUSIVE))


@every_comparison
def test_every_gate_is_a_number_with_its_limit(comparison):
    content = json.loads(ComparisonMetrics().render(comparison))
    jsonschema.Draft202012Validator(schema("comparison_metrics")).validate(content)
    assert content["outcome"] == comparison.outcome.value
    assert len(content["gates"]) == len(comparison.gates), "names are unique"
    for gate in comparison.gates:
        found = content["gates"][gate_name(gate)]
        assert (found["value"], found["limit"], found["unit"]) == (gate.value, gate.limit, gate.unit)
        assert found["better"] == ("higher" if gate.name in RISING else "lower")


@every_comparison
def test_the_metrics_are_read_back_by_prometheus(comparison):
    families = {
        family.name: family.samples
        for family in text_string_to_metric_families(ComparisonOpenMetrics().render(comparison))
    }
    failed = [sample.value for sample in families["modeltest_gate_failed"]]
    assert failed == [float(gate.outcome is GateOutcome.FAIL) for gate in comparison.gates]
    values = [gate.value for gate in comparison.gates if gate.value is not None]
    assert [sample.value for sample in families["modeltest_gate_value"]] == pytest.approx(values)


def test_they_are_installed_and_written_beside_the_others():
    for name, file in (
        ("junit", "junit.xml"),
        ("metrics", "metrics.json"),
        ("openmetrics", "openmetrics.txt"),
    ):
        assert load_comparison_report(name).file_name == file
