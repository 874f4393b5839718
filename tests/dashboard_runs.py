"""The synthetic runs of the benchmarks, for tests: valid directories, seeded, by the writers of real runs."""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "benchmarks"))

from synthetic.lines import LINES, PAGED, Change, Line  # noqa: E402
from synthetic.runs import Plan, write_odd_runs, write_run, write_runs  # noqa: E402

__all__ = ["LINES", "PAGED", "Change", "Line", "Plan", "write_odd_runs", "write_run", "write_runs"]

BOOLQ = Line("aurora-7b", "full_BoolQ", PAGED, ability=0.8)
MMLU = Line("aurora-7b", "full_MMLU", PAGED, ability=0.6)
LATENCY = Line("aurora-7b", "performance", PAGED, step_ms=18.0)
SEARCH = Line("aurora-7b", "performance_maxbs", PAGED, step_ms=18.0)


def nights(directory: Path, line: Line, count: int, *, questions: int = 120) -> list[Path]:
    """Write `count` nightly runs of one line and return their directories, oldest first."""
    return [write_run(directory, Plan(line, night, 0), questions=questions) for night in range(count)]
