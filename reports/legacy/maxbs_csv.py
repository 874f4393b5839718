"""The max-batch files of the predecessor: every probe of one case, and one row per case.

`performance_maxbs_{pa|fa}_{in}_{out}_tp{W}_round_result.csv` has the probes in the order of measurement,
without numbers where a probe was decided without a measured trial of full length;
`performance_maxbs_{pa|fa}_tp{W}_final_result.csv` the answers, without a batch size where there is none.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from modeltest.api import MaxBatchCase, MaxBatchSummary, RunResult
from reports.kind_report import KindReport
from reports.legacy.columns import LegacyRow, engine_family, legacy_row, world_size, write_legacy_csv


class LegacyMaxBatchCsv(KindReport[MaxBatchSummary]):
    """Writes the predecessor's files of a `performance_maxbs` run."""

    name = "legacy_maxbs"
    summaries = (MaxBatchSummary,)

    def write_summary(self, result: RunResult, summary: MaxBatchSummary, directory: Path) -> Sequence[Path]:
        """Write the files and return their paths."""
        family, degree, model = engine_family(result), f"tp{world_size(result)}", result.spec.model
        paths: list[Path] = []
        for search in summary.cases:
            shape = f"{search.case.input_tokens}_{search.case.output_tokens}"
            rounds = directory / f"performance_maxbs_{family}_{shape}_{degree}_round_result.csv"
            paths.append(write_legacy_csv(rounds, model, _rounds(search)))
        final = directory / f"performance_maxbs_{family}_{degree}_final_result.csv"
        paths.append(write_legacy_csv(final, model, [_answer(search) for search in summary.cases]))
        return tuple(paths)


def _rounds(search: MaxBatchCase) -> list[LegacyRow]:
    measured = {case.batch_size: legacy_row(case) for case in search.measured}
    return [
        measured.get(probe.batch_size) or LegacyRow(search.case, probe.batch_size) for probe in search.probes
    ]


def _answer(search: MaxBatchCase) -> LegacyRow:
    for case in search.measured:
        if case.batch_size == search.max_batch:
            return legacy_row(case)
    return LegacyRow(search.case, batch_size=None)
