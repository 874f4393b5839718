"""The rows that a task brings: a CSV file with a header, or one JSON object a line."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

from modeltest.api import DatasetError, DatasetInfo, Record, RowsFile, SpecError, TaskData
from modeltest.data.loaded import FULL, LoadedDataset, joined_sha256
from modeltest.data.rows import csv_cells, files_sha256, jsonl_rows, readable
from modeltest.data.stored import StoredRecords


def load_rows_file(found: RowsFile, *, limit: int | None = None, shots_needed: bool = False) -> LoadedDataset:
    """Read the rows that a task brings, which are of one subject: the task's name.

    Raises: SpecError for words that do not suit it; DatasetError for rows that do not fit.
    """
    if shots_needed and found.shots is None:
        raise SpecError(f"shots are asked for, and the file of task {found.name!r} names no `shots`")
    shots = found.shots if shots_needed else None
    for path in (found.rows, *([shots] if shots else [])):
        if not path.is_file():
            raise DatasetError(f"{found.place}: its rows are to be in {path}, and there is no such file")
    digests = [files_sha256([path]) for path in (found.rows, shots) if path is not None]
    records = StoredRecords(lambda: _records(found, found.rows, limit))
    info = DatasetInfo(
        name=found.name,
        split=FULL,
        path=str(found.rows),
        sha256=joined_sha256(digests),
        official=False,
        records=len(records),
        subjects=1,
    )
    examples = {} if shots is None else {found.name: tuple(_records(found, shots, None))}
    return LoadedDataset(TaskData(records, examples, {found.name: {}}), info)


def _records(data: RowsFile, path: Path, limit: int | None) -> Iterator[Record]:
    empty = True
    with readable(path):
        for number, (line, cells) in enumerate(islice(_rows(path), limit)):
            empty = False
            try:
                fields = data.to_fields(cells)
            except ValueError as problem:
                raise DatasetError(f"{path}, line {line}: {problem}") from None
            yield Record(f"{data.name}/{number}", data.name, fields)
    if empty:
        raise DatasetError(f"{path}: no rows; {data.place} names it")


def _rows(path: Path) -> Iterator[tuple[int, Mapping[str, Any]]]:
    if path.suffix != ".csv":
        for row in jsonl_rows(path):
            yield row.line, row.cells
        return
    columns: list[str] | None = None
    for line, cells in csv_cells(path, "a header and a row below it for each question"):
        if columns is None:
            columns = cells
            if len(set(columns)) != len(columns) or not all(columns):
                raise DatasetError(
                    f"{path}, line {line}: a column of the header has no name, or that of another"
                )
        elif len(cells) != len(columns):
            raise DatasetError(
                f"{path}, line {line}: {len(cells)} columns; expected {len(columns)}: "
                f"{','.join(columns):.200}"
            )
        else:
            yield line, dict(zip(columns, cells, strict=True))
