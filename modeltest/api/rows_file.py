"""A task that brings its own rows, in a file of CSV or JSONL beside it, instead of naming a dataset."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable


@dataclass(frozen=True, slots=True)
class RowsFile:
    """Where the rows of a task are, and what makes fields of them."""

    name: str
    """Of the dataset, and of its one subject."""

    place: str
    """The file, and the line, that names the rows: for messages."""

    rows: Path
    shots: Path | None
    """Rows that are worked examples."""

    to_fields: Callable[[Mapping[str, Any]], dict[str, str]]
    """Makes the fields of a record of the cells of a row; raises ValueError saying what is wrong."""


@runtime_checkable
class BringingRows(Protocol):
    """What an accuracy task offers that brings its own rows; its `dataset` is none of the installed ones."""

    rows_file: RowsFile
