"""`openmetrics.txt`: the numbers of `metrics.json` as OpenMetrics text, for Prometheus and GitLab.

All families are gauges, so that readers of the older Prometheus text format understand the file too. Units
are the base units of Prometheus: milliseconds become seconds. What is unknown is left out.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from modeltest.api import FlatMetric, RunResult, Verdict
from modeltest.machine.files import write_text
from modeltest.present import flat_metrics

if TYPE_CHECKING:
    from prometheus_client.core import GaugeMetricFamily

PREFIX = "modeltest_"
LABELS = ("model", "engine", "task", "case")
INFO_LABELS = ("model", "engine", "task", "adapter", "device", "dtype", "version", "fingerprint", "started")


@dataclass(frozen=True, slots=True)
class _BaseUnit:
    """What a unit is called at the end of a family's name, and what one of ours is in it."""

    name: str
    factor: float = 1.0
    suffix: str = ""
    """What our own names say of the unit at their end."""


_BASE_UNITS = {
    "ms": _BaseUnit("seconds", 1e-3, "_ms"),
    "s": _BaseUnit("seconds", 1.0, "_s"),
    "tokens/s": _BaseUnit("tokens_per_second", 1.0, "_tokens_per_s"),
    "ratio": _BaseUnit("ratio"),
    "bytes": _BaseUnit("bytes", 1.0, "_bytes"),
}
_NO_UNIT = _BaseUnit("")


class OpenMetrics:
    """Writes `openmetrics.txt`."""

    name = "openmetrics"

    def accepts(self, result: RunResult) -> bool:
        """Say whether the run found anything."""
        return result.summary is not None

    def write(self, result: RunResult, directory: Path) -> Sequence[Path]:
        """Write the file and return its path.

        Raises: PrerequisiteError when it cannot be written.
        """
        path = directory / "openmetrics.txt"
        write_text(path, openmetrics_text(result))
        return (path,)


def openmetrics_text(result: RunResult) -> str:
    """Return the content of `openmetrics.txt`."""
    return metrics_text(tuple(_families(result)))


def metrics_text(families: Sequence[GaugeMetricFamily]) -> str:
    """Return finished families as OpenMetrics text."""
    from prometheus_client import CollectorRegistry
    from prometheus_client.openmetrics.exposition import generate_latest

    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Families(families))
    text: bytes = generate_latest(registry)  # type: ignore[no-untyped-call]
    return text.decode()


class _Families:
    """Hands finished families to the writer of prometheus_client."""

    def __init__(self, families: Sequence[GaugeMetricFamily]) -> None:
        self._families = families

    def collect(self) -> Iterator[GaugeMetricFamily]:
        return iter(self._families)


def _families(result: RunResult) -> Iterator[GaugeMetricFamily]:
    from prometheus_client.core import GaugeMetricFamily

    yield _info(result)
    yield _verdict(result)
    of_run = (result.model.label, result.spec.engine, result.spec.mode)
    families: dict[str, GaugeMetricFamily] = {}
    for metric in flat_metrics(result):
        unit = _BASE_UNITS.get(metric.unit, _NO_UNIT)
        for bound in ("", "_low", "_high"):
            value = metric.value if not bound else getattr(metric, bound[1:])
            if value is None:
                continue
            name = _family_name(metric, unit, bound)
            if name not in families:
                text = (
                    f"{metric.family}{bound.replace('_', ', ')} of ModelTest; docs/metrics.md has the formula"
                )
                families[name] = GaugeMetricFamily(name, text, labels=LABELS, unit=unit.name)
            families[name].add_metric((*of_run, metric.case), value * unit.factor)
    yield from families.values()


def _family_name(metric: FlatMetric, unit: _BaseUnit, bound: str) -> str:
    stem = metric.family.removesuffix(unit.suffix)
    return PREFIX + "_".join(part for part in (stem, bound.strip("_"), unit.name) if part)


def _info(result: RunResult) -> GaugeMetricFamily:
    from prometheus_client.core import GaugeMetricFamily

    engine = result.engine
    family = GaugeMetricFamily(f"{PREFIX}run_info", "What was run on what; always 1.", labels=INFO_LABELS)
    family.add_metric(
        (
            result.model.label,
            result.spec.engine,
            result.spec.mode,
            result.adapter or "",
            *((engine.device, engine.dtype) if engine else ("", "")),
            result.modeltest_version or "",
            result.model.fingerprint or "",
            result.started,
        ),
        1,
    )
    return family


def _verdict(result: RunResult) -> GaugeMetricFamily:
    from prometheus_client.core import GaugeMetricFamily

    family = GaugeMetricFamily(
        f"{PREFIX}run_verdict",
        "1 for the verdict of the run, 0 for the others.",
        labels=(*LABELS[:3], "verdict"),
    )
    for verdict in Verdict:
        labels = (result.model.label, result.spec.engine, result.spec.mode, verdict.value)
        family.add_metric(labels, float(result.verdict is verdict))
    return family
