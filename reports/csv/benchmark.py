"""`benchmark.csv`: the ten columns of the file that MindIE's PARunner writes, from any run's token times.

PARunner keeps the last pass alone; here every measured trial has a row, in the order of measurement. A row is
left out where its case is INVALID, for the file has no place to say so.

- `batch_size`; `input_seq_len`: tokens of the first prompt; `output_seq_len`: new tokens asked for
- `e2e_time(ms)` = `prefill_time(ms)` + the sum of `decode_token_times`
- `prefill_time(ms)`: the sum of `prefill_token_times`; `prefill_average_time(ms)`: that per row
- `decoder_token_time(ms)`: the sum of `decode_token_times` per new token after the first; 0 without any
- `prefill_count`, `prefill_token_times`, `decode_token_times`: the steps, in seconds

Source: Ascend/MindIE-LLM at 8b4871ad, examples/atb_models/examples/server/generate.py.
"""

from __future__ import annotations

import csv
from collections.abc import Collection, Sequence
from itertools import pairwise
from pathlib import Path

from modeltest.api import Case, Measurement, RunResult, Verdict
from modeltest.machine.files import open_atomic
from modeltest.present import is_timed, timed_cases

COLUMNS = (
    "batch_size",
    "input_seq_len",
    "output_seq_len",
    "e2e_time(ms)",
    "prefill_time(ms)",
    "decoder_token_time(ms)",
    "prefill_count",
    "prefill_token_times",
    "decode_token_times",
    "prefill_average_time(ms)",
)

SAME_PREFILL = 0.05
"""First tokens belong to one prefill when less than this share of the time to the first of all lies between
them: an engine that reads the clock for each row reads it a little later each time."""

_MEASURED = "measure"
_NS_PER_MS = 1e6
_NS_PER_S = 1e9


class BenchmarkCsv:
    """Writes `benchmark.csv` when it is asked for."""

    name = "benchmark"

    def accepts(self, result: RunResult) -> bool:
        """Say whether there is a row to write."""
        return self.refusal(result) is None

    def refusal(self, result: RunResult) -> str | None:
        """Return why there is no row to write."""
        if not is_timed(result.summary):
            return "this run has no times of tokens"
        if not _rows(result):
            return "; ".join(("no trial of a case that may be used was measured", *result.reasons[:1]))
        return None

    def write(self, result: RunResult, directory: Path) -> Sequence[Path]:
        """Write the file and return its path.

        Raises: PrerequisiteError when it cannot be written.
        """
        path = directory / "benchmark.csv"
        with open_atomic(path) as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(COLUMNS)
            writer.writerows(_rows(result))
        return (path,)


def _rows(result: RunResult) -> Collection[tuple[object, ...]]:
    """Return one row per trial; one that was measured again, after a restart, counts once: the last time."""
    usable = _usable(result)
    rows: dict[tuple[int, int, int], tuple[object, ...]] = {}
    for measurement in result.measurements:
        case = result.spec.cases[measurement.case_index]
        if (case, measurement.batch_size) in usable and _is_whole(measurement, case):
            key = (measurement.case_index, measurement.batch_size, measurement.trial)
            rows[key] = _cells(measurement, case)
    return rows.values()


def _usable(result: RunResult) -> set[tuple[Case, int]]:
    usable = (case for case in timed_cases(result.summary) if case.verdict is not Verdict.INVALID)
    return {(case.case, case.batch_size) for case in usable}


def _is_whole(measurement: Measurement, case: Case) -> bool:
    """Say whether this is a measured trial in which every row has one time for each token asked for."""
    rows = measurement.completions
    return (
        measurement.phase == _MEASURED
        and len(rows) == measurement.batch_size
        and all(row.error is None and len(row.token_times_ns) == case.output_tokens for row in rows)
    )


def _cells(measurement: Measurement, case: Case) -> tuple[object, ...]:
    rows = [row.token_times_ns for row in measurement.completions]
    # A step is over when its last row has its token.
    ends_ns = [max(times) for times in zip(*rows, strict=True)]
    prefills_ns = _prefills_ns([times[0] for times in rows])
    decodes_ns = [later - earlier for earlier, later in pairwise(ends_ns)]
    steps = len(decodes_ns)
    prompts = measurement.prompts
    return (
        measurement.batch_size,
        prompts.lengths[0] if prompts is not None else case.input_tokens,
        case.output_tokens,
        _ms(ends_ns[-1]),
        _ms(ends_ns[0]),
        _ms(sum(decodes_ns) / steps if steps else 0),
        len(prefills_ns),
        _seconds(prefills_ns),
        _seconds(decodes_ns),
        _ms(ends_ns[0] / measurement.batch_size),
    )


def _prefills_ns(firsts_ns: Sequence[int]) -> list[int]:
    """Return how long each prefill took: rows of one prefill have their first tokens at the same time."""
    ordered = sorted(firsts_ns)
    tolerance_ns = SAME_PREFILL * ordered[0]
    ends_ns = [earlier for earlier, later in pairwise(ordered) if later - earlier > tolerance_ns]
    return [later - earlier for earlier, later in pairwise([0, *ends_ns, ordered[-1]])]


def _ms(value_ns: float) -> str:
    return f"{value_ns / _NS_PER_MS:.6f}"


def _seconds(values_ns: Sequence[int]) -> str:
    return ",".join(f"{value / _NS_PER_S:.9f}" for value in values_ns)
