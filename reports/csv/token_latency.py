"""`token_latency.csv`: every token of every trial, warm-up included, for whoever wants to count again.

One row per output token, stable and without padding; `modeltest/present/token_times.py` has the columns.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

from modeltest.api import RunResult
from modeltest.machine.files import open_atomic
from modeltest.present import is_timed
from modeltest.present.token_times import COLUMNS, token_rows


class TokenLatencyCsv:
    """Writes `token_latency.csv`, one measurement at a time."""

    name = "token_latency"

    def accepts(self, result: RunResult) -> bool:
        """Say whether the run timed anything, finished or not."""
        if result.summary is not None and not is_timed(result.summary):
            return False
        return next(iter(result.measurements), None) is not None

    def write(self, result: RunResult, directory: Path) -> Sequence[Path]:
        """Write the file and return its path.

        Raises: PrerequisiteError when it cannot be written.
        """
        path = directory / "token_latency.csv"
        with open_atomic(path) as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(COLUMNS)
            writer.writerows(token_rows(result))
        return (path,)
