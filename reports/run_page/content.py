"""What the parts of the page of a run hand to the template."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from modeltest.api import Summary
from modeltest.present import Presentation
from modeltest.present.cells import plain
from reports.plots.drawing import Plot


@dataclass(frozen=True, slots=True)
class Content:
    """What the page shows of one kind of summary; `kind` is that of the page `run_<kind>`."""

    kind: str
    plots: Sequence[Plot] = ()
    values: Mapping[str, object] = field(default_factory=dict)


def table_content(shown: Presentation[Any], summary: Summary) -> Content:
    """Return what every kind of result has to show: its most telling numbers and its table."""
    rows = [[plain(cell) for cell in row.cells] for row in shown.rows(summary)]
    header = [column.name for column in shown.columns]
    return Content(kind="table", values={"header": header, "rows": rows, "headline": shown.headline(summary)})
