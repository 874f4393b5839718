"""`performance_{pa|fa}_batch{B}_tp{W}_result.csv` and its padded copy, as the predecessor wrote them.

One pair of files per batch size, one row per case. The padded copy is separated by `|` and calls the tenth
column `E2E Throughput(Tokens/s)`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from modeltest.api import CaseSummary, PerformanceSummary, RunResult
from modeltest.machine.files import write_text
from reports.kind_report import KindReport
from reports.legacy.columns import (
    COLUMNS,
    LegacyRow,
    engine_family,
    legacy_cells,
    legacy_row,
    world_size,
    write_legacy_csv,
)

FORMATTED_COLUMNS = (*COLUMNS[:9], "E2E Throughput(Tokens/s)", *COLUMNS[10:])
_WIDTHS = (15, 15, 15, 15, 15, 25, 25, 25, 36, 25, 45, 35)


class LegacyPerformanceCsv(KindReport[PerformanceSummary]):
    """Writes the predecessor's files of a `performance` run."""

    name = "legacy_performance"
    summaries = (PerformanceSummary,)

    def write_summary(
        self, result: RunResult, summary: PerformanceSummary, directory: Path
    ) -> Sequence[Path]:
        """Write the files and return their paths."""
        model = result.spec.model
        paths: list[Path] = []
        for batch_size, rows in _rows_by_batch_size(summary.cases).items():
            stem = f"performance_{engine_family(result)}_batch{batch_size}_tp{world_size(result)}"
            paths.append(write_legacy_csv(directory / f"{stem}_result.csv", model, rows))
            formatted = directory / f"{stem}_formatted_result.csv"
            write_text(formatted, _padded([FORMATTED_COLUMNS, *legacy_cells(model, rows)]))
            paths.append(formatted)
        return tuple(paths)


def _rows_by_batch_size(cases: Sequence[CaseSummary]) -> dict[int, list[LegacyRow]]:
    rows: dict[int, list[LegacyRow]] = {}
    for case in cases:
        rows.setdefault(case.batch_size, []).append(legacy_row(case))
    return rows


def _padded(lines: Sequence[Sequence[str]]) -> str:
    return "".join(
        "|".join(cell.ljust(width) for cell, width in zip(line, _WIDTHS, strict=True)) + "\n"
        for line in lines
    )
