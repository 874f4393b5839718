"""The twelve columns that dashboards of the predecessor parse, and the cells under them.

Names and order are theirs; values are medians over the measured trials. A row whose verdict is INVALID keeps
its measurement cells empty: such a file has no place for the reason, and a number would be believed.
The two averages are over the rows of the file and stand on its last row only.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

from modeltest.api import Case, CaseSummary, RunResult, Verdict
from modeltest.machine.files import open_atomic

COLUMNS = (
    "Model",
    "Batchsize",
    "In_seq",
    "Out_seq",
    "Total time(s)",
    "Prefill all time(ms)",
    "Prefill average time(ms)",
    "Non-first token time(ms)",
    "Non-first token Throughput(Tokens/s)",
    "Throughput(Tokens/s)",
    "Non-first token Throughput Average(Tokens/s)",
    "E2E Throughput Average(Tokens/s)",
)

_DECIMALS = 6


@dataclass(frozen=True, slots=True)
class LegacyRow:
    """One line of a legacy file. `None` is an empty cell."""

    case: Case
    batch_size: int | None
    total_s: float | None = None
    prefill_total_ms: float | None = None
    prefill_average_ms: float | None = None
    non_first_token_ms: float | None = None
    non_first_token_tokens_per_s: float | None = None
    tokens_per_s: float | None = None


def legacy_row(summary: CaseSummary) -> LegacyRow:
    """Return what a legacy file says of one case at one batch size."""
    if summary.verdict is Verdict.INVALID:
        return LegacyRow(summary.case, summary.batch_size)
    step_ms = _median(summary, "non_first_token_ms")
    return LegacyRow(
        case=summary.case,
        batch_size=summary.batch_size,
        total_s=_median(summary, "e2e_s"),
        prefill_total_ms=_median(summary, "prefill_total_ms"),
        prefill_average_ms=_median(summary, "prefill_average_ms"),
        non_first_token_ms=step_ms,
        non_first_token_tokens_per_s=summary.batch_size * 1000 / step_ms if step_ms else None,
        tokens_per_s=_median(summary, "output_tokens_per_s"),
    )


def legacy_cells(model: str, rows: Sequence[LegacyRow]) -> list[tuple[str, ...]]:
    """Return the lines of a file under `COLUMNS`, as text."""
    averages = ("", "")
    cells = []
    for index, row in enumerate(rows):
        if index == len(rows) - 1:
            averages = (
                _average([each.non_first_token_tokens_per_s for each in rows]),
                _average([each.tokens_per_s for each in rows]),
            )
        numbers = (
            row.total_s,
            row.prefill_total_ms,
            row.prefill_average_ms,
            row.non_first_token_ms,
            row.non_first_token_tokens_per_s,
            row.tokens_per_s,
        )
        batch_size = "" if row.batch_size is None else str(row.batch_size)
        shape = (model, batch_size, str(row.case.input_tokens), str(row.case.output_tokens))
        cells.append((*shape, *map(_text, numbers), *averages))
    return cells


def write_legacy_csv(path: Path, model: str, rows: Sequence[LegacyRow]) -> Path:
    """Write `rows` under `COLUMNS` and return `path`.

    Raises: PrerequisiteError when the file cannot be written.
    """
    with open_atomic(path) as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        writer.writerows(legacy_cells(model, rows))
    return path


def engine_family(result: RunResult) -> str:
    """Return the engine as legacy file names have it: pa for the paged engine words, fa for all others."""
    return "pa" if result.spec.engine.startswith("pa") else "fa"


def world_size(result: RunResult) -> int:
    """Return the number of devices; what the model's profile says where the run left it open."""
    return result.spec.world_size or result.model.chips


def _median(summary: CaseSummary, metric: str) -> float | None:
    found = summary.metrics.get(metric)
    return None if found is None else found.median


def _average(values: Sequence[float | None]) -> str:
    known = [value for value in values if value is not None]
    return _text(fmean(known)) if known else ""


def _text(value: float | None) -> str:
    return "" if value is None else str(round(value, _DECIMALS))
