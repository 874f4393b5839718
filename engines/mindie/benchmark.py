"""benchmark.csv of MindIE's PARunner: the times of one pass, read by column name and checked for sense. Pure.

The file has a header and one row. Its lists of step times are in seconds, its other times in milliseconds
with two decimals; they say the same twice, so that a change of unit or meaning shows.

Source: Ascend/MindIE-LLM at 8b4871ad, examples/atb_models/examples/server/generate.py.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

from modeltest.api import EngineError

NS_PER_S = 1_000_000_000

_ROUNDING_MS = 0.02
_TOLERANCE = 0.005
"""How much two tellings of one time may differ, beside the rounding of the table."""


@dataclass(frozen=True, slots=True)
class BenchmarkRow:
    """The one row of the file. A step is timed from device synchronisation to device synchronisation."""

    batch_size: int
    input_tokens: int
    """Of the first request."""

    output_tokens: int
    """As asked for."""

    e2e_ms: float
    prefill_ms: float
    decode_step_ms: float
    """Mean over the steps asked for."""

    prefill_average_ms: float
    """Of one request."""

    prefill_count: int
    prefill_s: tuple[float, ...]
    decode_s: tuple[float, ...]


def parse_benchmark(text: str) -> BenchmarkRow:
    """Return the row of a benchmark.csv; columns may come in any order and others may stand between them.

    Raises: EngineError naming what is missing, is no number or contradicts the step times.
    """
    lines = list(csv.reader(text.splitlines(), skipinitialspace=True))
    rows = [line for line in lines if any(cell.strip() for cell in line)]
    if len(rows) != 2:
        raise _unusable(f"it has {len(rows)} lines, a header and one row are expected")
    header = [name.strip() for name in rows[0]]
    if len(rows[1]) != len(header):
        raise _unusable(f"its row has {len(rows[1])} fields under {len(header)} columns")
    cells = dict(zip(header, rows[1], strict=True))
    if len(cells) != len(header):
        raise _unusable("two columns have one name")
    row = BenchmarkRow(
        batch_size=_count(cells, "batch_size"),
        input_tokens=_count(cells, "input_seq_len"),
        output_tokens=_count(cells, "output_seq_len"),
        e2e_ms=_number(cells, "e2e_time(ms)"),
        prefill_ms=_number(cells, "prefill_time(ms)"),
        decode_step_ms=_number(cells, "decoder_token_time(ms)"),
        prefill_average_ms=_number(cells, "prefill_average_time(ms)"),
        prefill_count=_count(cells, "prefill_count"),
        prefill_s=_numbers(cells, "prefill_token_times"),
        decode_s=_numbers(cells, "decode_token_times"),
    )
    _check_sense(row)
    return row


def token_times_ns(row: BenchmarkRow, groups: Sequence[int]) -> tuple[tuple[int, ...], ...]:
    """Return, for each request, the time of each of its tokens since the start of the pass.

    `groups[g]` requests are prefilled together in the g-th prefill; decoding begins when all are. A pass of
    another course than that cannot be told apart by request.

    Raises: EngineError when the numbers of steps contradict that.
    """
    if sum(groups) != row.batch_size or len(groups) != len(row.prefill_s):
        raise _unusable(
            f"{len(row.prefill_s)} prefills for {row.batch_size} requests, {len(groups)} prefills were "
            f"expected for {sum(groups)}: which request waited for which cannot be told"
        )
    steps = row.output_tokens - 1
    if len(row.decode_s) != steps:
        raise _unusable(
            f"{len(row.decode_s)} decode steps for {row.output_tokens} tokens, {steps} are expected: "
            "requests did not run together"
        )
    firsts_s = list(accumulate(row.prefill_s))
    decodes_s = [firsts_s[-1] + elapsed_s for elapsed_s in accumulate(row.decode_s)]
    times: list[tuple[int, ...]] = []
    for size, first_s in zip(groups, firsts_s, strict=True):
        of_row = tuple(round(time_s * NS_PER_S) for time_s in (first_s, *decodes_s))
        times.extend([of_row] * size)
    return tuple(times)


def _check_sense(row: BenchmarkRow) -> None:
    prefill_ms = sum(row.prefill_s) * 1000
    decode_ms = sum(row.decode_s) * 1000
    steps = row.output_tokens - 1
    _agree("prefill_time(ms)", row.prefill_ms, prefill_ms)
    _agree("e2e_time(ms)", row.e2e_ms, prefill_ms + decode_ms)
    _agree("decoder_token_time(ms)", row.decode_step_ms, decode_ms / steps if steps else 0.0)
    _agree("prefill_average_time(ms)", row.prefill_average_ms, prefill_ms / max(row.batch_size, 1))
    if row.prefill_count != len(row.prefill_s):
        raise _unusable(f"prefill_count is {row.prefill_count} with {len(row.prefill_s)} prefill_token_times")
    if not row.prefill_s or min((*row.prefill_s, *row.decode_s)) <= 0:
        raise _unusable("a step took no time (with pipeline parallelism MindIE writes zeros)")


def _agree(name: str, said_ms: float, computed_ms: float) -> None:
    if abs(said_ms - computed_ms) > _ROUNDING_MS + _TOLERANCE * abs(computed_ms):
        raise _unusable(
            f"{name} is {said_ms:g}, but its step times, taken as seconds, give {computed_ms:.2f} ms: "
            "a unit or a meaning has changed"
        )


def _cell(cells: dict[str, str], name: str) -> str:
    if name not in cells:
        raise _unusable(f"it has no column {name!r}; its columns are {', '.join(cells)}")
    return cells[name].strip()


def _count(cells: dict[str, str], name: str) -> int:
    text = _cell(cells, name)
    if not text.isdecimal():
        raise _unusable(f"{name} is {text!r}, not a count")
    return int(text)


def _number(cells: dict[str, str], name: str) -> float:
    return _as_number(name, _cell(cells, name))


def _numbers(cells: dict[str, str], name: str) -> tuple[float, ...]:
    text = _cell(cells, name).strip("[]")
    return tuple(_as_number(name, part) for part in text.split(",")) if text else ()


def _as_number(name: str, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise _unusable(f"{name} holds {text.strip()!r}, not a number")
    return value


def _unusable(reason: str) -> EngineError:
    return EngineError(f"benchmark.csv of MindIE cannot be used: {reason}")
