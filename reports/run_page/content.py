"""What the parts of the page of a run hand to the template."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from reports.plots.drawing import Plot


@dataclass(frozen=True, slots=True)
class Content:
    """What the page shows of one kind of summary; `kind` is that of the page `run_<kind>`."""

    kind: str
    plots: Sequence[Plot] = ()
    values: Mapping[str, object] = field(default_factory=dict)
