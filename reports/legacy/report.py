"""`--format legacy`: the files of the benchmark before MindIE's `tests/modeltest`.

They are written on request only: other reports hold the same, and these have no place for a verdict.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from modeltest.api import AccuracySummary, RunResult
from modeltest.present import is_timed
from reports.legacy.older_benchmark_csv import benchmark_refusal, write_benchmark
from reports.legacy.older_test_result import answers_refusal, write_answers


class Legacy:
    """Writes `performance_test_npu_{model}_bs{B}.csv` of a timed run, `test_result/` of an accuracy run."""

    name = "legacy"

    def accepts(self, result: RunResult) -> bool:
        """Say whether the run can give these files."""
        return self.refusal(result) is None

    def refusal(self, result: RunResult) -> str | None:
        """Return why it cannot."""
        if isinstance(result.summary, AccuracySummary):
            return answers_refusal(result)
        if is_timed(result.summary):
            return benchmark_refusal(result)
        return f"a run of {result.spec.task} has neither scored answers nor times of tokens"

    def write(self, result: RunResult, directory: Path) -> Sequence[Path]:
        """Write the files and return their paths.

        Raises: PrerequisiteError when one cannot be written.
        """
        if isinstance(result.summary, AccuracySummary):
            return write_answers(result, result.summary, directory)
        return write_benchmark(result, directory)
