"""A comparison for CI systems: its gates as test cases, and as numbers by names that stay."""

from __future__ import annotations

import json
from collections.abc import Iterator

from modeltest.api import HIGHER, LOWER, Comparison, Decision, Gate, GateOutcome
from modeltest.present import Check
from reports.ci.junit_xml import class_name_of, junit_document, suite_element
from reports.ci.openmetrics import PREFIX, metrics_text

FORMAT_VERSION = 2

BETTER = {
    **dict.fromkeys(("accuracy", "subjects", "outputs", "max_batch"), HIGHER),
    **dict.fromkeys(("failures", "tokens", "answers", "divergence", "criterion", "latency"), LOWER),
    **dict.fromkeys(("shifts", "rounding"), LOWER),
}
"""Which way the value of a gate is better; that of `subjects` is a p-value."""

LABELS = ("task", "model", "candidate", "gate", "part")


class ComparisonJUnit:
    """Renders `junit.xml`: FAIL is a failure, INCONCLUSIVE is skipped, since it proves neither.

    The decision is a case of its own, and a failure unless it is ACCEPT: what reads the file alone would
    take a comparison that is undecided for one that passes.
    """

    name = "junit"
    file_name = "junit.xml"

    def render(self, comparison: Comparison) -> str:
        """Return one test suite with a case per gate, and one for the decision."""
        candidate = comparison.candidate[0]
        parts = ("compare", comparison.task, candidate.model, candidate.engine_word)
        suite = suite_element(
            " ".join(parts),
            [*map(_check, comparison.gates), _decision(comparison)],
            class_name=class_name_of(*parts),
            timestamp=candidate.started,
            seconds=0.0,
            properties={
                "outcome": comparison.outcome.value,
                "reference": ", ".join(run.directory for run in comparison.reference),
                "candidate": ", ".join(run.directory for run in comparison.candidate),
                "notes": "; ".join(comparison.notes),
            },
        )
        return junit_document([suite])


class ComparisonMetrics:
    """Renders `metrics.json` of a comparison; `schemas/comparison_metrics.schema.json` describes it."""

    name = "metrics"
    file_name = "metrics.json"

    def render(self, comparison: Comparison) -> str:
        """Return what each gate measured and allows, by the gate's name."""
        content = {
            "format_version": FORMAT_VERSION,
            "task": comparison.task,
            "outcome": comparison.outcome.value,
            "gates": {
                gate_name(gate): {
                    "value": gate.value,
                    "limit": gate.limit,
                    "unit": gate.unit,
                    "better": BETTER.get(gate.name),
                    "outcome": gate.outcome.value,
                }
                for gate in comparison.gates
            },
        }
        return json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


class ComparisonOpenMetrics:
    """Renders `openmetrics.txt` of a comparison; what is unknown is left out."""

    name = "openmetrics"
    file_name = "openmetrics.txt"

    def render(self, comparison: Comparison) -> str:
        """Return three families of gauges: what was measured, what is allowed, and whether it failed."""
        from prometheus_client.core import GaugeMetricFamily

        value = GaugeMetricFamily(f"{PREFIX}gate_value", "What a gate measured, in its unit.", labels=LABELS)
        limit = GaugeMetricFamily(f"{PREFIX}gate_limit", "What a gate allows, in its unit.", labels=LABELS)
        failed = GaugeMetricFamily(f"{PREFIX}gate_failed", "1 for a gate that says FAIL.", labels=LABELS)
        for gate, labels in _labelled(comparison):
            failed.add_metric(labels, float(gate.outcome is GateOutcome.FAIL))
            for family, number in ((value, gate.value), (limit, gate.limit)):
                if number is not None:
                    family.add_metric(labels, number)
        return metrics_text([value, limit, failed])


def gate_name(gate: Gate) -> str:
    """Return the name of a gate, with the part it is about: `latency.256x64 batch 4 tpot_ms`."""
    return f"{gate.name}.{gate.part}" if gate.part else gate.name


def _check(gate: Gate) -> Check:
    outcome, text = gate.outcome, gate.statement
    return Check(
        f"{gate.name} {gate.part}".strip(),
        output=f"{outcome.value}: {text}",
        failure=text if outcome is GateOutcome.FAIL else None,
        skipped=text if outcome is GateOutcome.INCONCLUSIVE else None,
    )


def _decision(comparison: Comparison) -> Check:
    names = {
        outcome: [gate_name(gate) for gate in comparison.gates if gate.outcome is outcome]
        for outcome in (GateOutcome.FAIL, GateOutcome.INCONCLUSIVE)
    }
    said = comparison.outcome.value
    blamed = next((found for found in names.values() if found), [])
    why = f"{said}: {', '.join(blamed)}" if blamed else said
    return Check("decision", output=why, failure=None if comparison.outcome is Decision.ACCEPT else why)


def _labelled(comparison: Comparison) -> Iterator[tuple[Gate, tuple[str, ...]]]:
    candidate = comparison.candidate[0]
    for gate in comparison.gates:
        yield gate, (comparison.task, candidate.model, candidate.engine_word, gate.name, gate.part)
