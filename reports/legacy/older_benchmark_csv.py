"""`performance_test_npu_{model}_bs{B}.csv`: the table of the benchmark before MindIE's `tests/modeltest`.

One file per batch size and one row per case. The file is called npu whatever the device was; `run.json` says
what that was. Two of its columns split what lies between two forward passes into a part before and a part
after: no engine tells them apart, so they are empty. A row whose verdict is INVALID keeps all of its
measurements empty.

Source: the performance test of atb_speed_sdk in Ascend/MindIE-LLM.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from pathlib import Path

from modeltest.api import RunResult
from modeltest.machine.files import open_atomic
from modeltest.present import timed_cases
from reports.legacy.columns import LegacyRow, legacy_row

COLUMNS = (
    "batch_size",
    "input_seq_len(Encoding)",
    "output_seq_len(Decoding)",
    "ResponseTime(s)",
    "forward_first_token_time(ms)",
    "forward_next_token_time(ms)",
    "pre_next_token_time(ms)",
    "post_next_token_time_post(ms)",
)

_UNKNOWN = ""
_DECIMALS = 6


def benchmark_refusal(result: RunResult) -> str | None:
    """Return why `result` gives no such table."""
    rows = [legacy_row(case) for case in timed_cases(result.summary)]
    if any(row.total_s is not None for row in rows):
        return None
    return "; ".join(("no case has times that may be used", *result.reasons[:1]))


def write_benchmark(result: RunResult, directory: Path) -> Sequence[Path]:
    """Write one file per batch size and return their paths.

    Raises: PrerequisiteError when one cannot be written.
    """
    by_batch_size: dict[int, list[LegacyRow]] = {}
    for case in timed_cases(result.summary):
        by_batch_size.setdefault(case.batch_size, []).append(legacy_row(case))
    model = re.sub(r"[^0-9A-Za-z._-]+", "-", result.model.name)
    paths = []
    for batch_size, rows in by_batch_size.items():
        paths.append(directory / f"performance_test_npu_{model}_bs{batch_size}.csv")
        with open_atomic(paths[-1]) as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(COLUMNS)
            writer.writerows(_cells(row) for row in rows)
    return paths


def _cells(row: LegacyRow) -> tuple[object, ...]:
    measured = (row.total_s, row.prefill_total_ms, row.non_first_token_ms)
    return (
        row.batch_size,
        row.case.input_tokens,
        row.case.output_tokens,
        *(_UNKNOWN if value is None else round(value, _DECIMALS) for value in measured),
        _UNKNOWN,
        _UNKNOWN,
    )
