"""`metrics.json`: every number of a run by a name that stays the same, for gates and dashboards."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from modeltest.api import RunResult
from modeltest.machine.files import write_json
from modeltest.present import flat_metrics
from reports.run_header import describe_run

FORMAT_VERSION = 1


class MetricsJson:
    """Writes `metrics.json`; its fields are described in `schemas/metrics.schema.json`."""

    name = "metrics"

    def accepts(self, result: RunResult) -> bool:
        """Say whether the run found anything."""
        return result.summary is not None

    def write(self, result: RunResult, directory: Path) -> Sequence[Path]:
        """Write the file and return its path.

        Raises: PrerequisiteError when it cannot be written.
        """
        path = directory / "metrics.json"
        write_json(path, describe_metrics(result))
        return (path,)


def describe_metrics(result: RunResult) -> dict[str, object]:
    """Return the content of `metrics.json`."""
    return {
        "format_version": FORMAT_VERSION,
        **describe_run(result),
        "metrics": {
            metric.name: {
                "value": metric.value,
                "unit": metric.unit,
                "better": metric.better,
                "low": metric.low,
                "high": metric.high,
            }
            for metric in flat_metrics(result)
        },
    }
