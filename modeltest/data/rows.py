"""Reading the rows of one dataset file into records, strictly: a file that does not fit is refused.

Cells stay text: `None`, `NA` and `nan` are answer options that occur in MMLU, not missing values.
"""

from __future__ import annotations

import csv
import gzip
import hashlib
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, TextIO

from modeltest.api import OPTION_LETTERS, DatasetError, Record
from modeltest.data.card import AnswerKind, DatasetCard, FileFormat, SplitCard
from modeltest.plain.json_text import JsonError, parse_json

_CHUNK_BYTES = 1 << 20
_BOOLEAN_WORDS = {"true": "yes", "false": "no"}


@dataclass(frozen=True, slots=True)
class Row:
    """A row as it stands in its file, and on which line."""

    line: int
    cells: Mapping[str, Any]


def read_records(
    card: DatasetCard, split: SplitCard, subject: str, path: Path, *, limit: int | None = None
) -> Iterator[Record]:
    """Yield the records of one file, at most `limit`, with ids `subject/row` counted from 0.

    Raises: DatasetError naming the file, the line and what was expected.
    """
    rows = _csv_rows(card, split, path) if card.format is FileFormat.CSV else jsonl_rows(path)
    empty = True
    with readable(path):
        for number, row in enumerate(islice(rows, limit)):
            empty = False
            where = f"{path}, line {row.line}"
            yield Record(f"{subject}/{number}", subject, _fields(card, split, row.cells, where))
    if empty:
        raise DatasetError(f"{path}: no rows; expected {_columns(split)}")


def files_sha256(paths: Iterable[Path]) -> str:
    """Return the sha256 over the files' bytes, one file after another."""
    digest = hashlib.sha256()
    for path in paths:
        with readable(path), path.open("rb") as file:
            while chunk := file.read(_CHUNK_BYTES):
                digest.update(chunk)
    return digest.hexdigest()


@contextmanager
def readable(path: Path) -> Iterator[None]:
    """Make one error of all that reading the file at `path` may raise.

    Raises: DatasetError.
    """
    try:
        yield
    except (gzip.BadGzipFile, EOFError, zlib.error) as problem:
        raise DatasetError(f"{path}: not a whole gzip file: {problem}; get it again") from problem
    except OSError as problem:
        raise DatasetError(f"{path}: cannot be read: {problem.strerror}") from problem
    except UnicodeDecodeError as problem:
        line = _first_undecodable_line(path)
        raise DatasetError(f"{path}, line {line}: not UTF-8; expected text in UTF-8") from problem


def _first_undecodable_line(path: Path) -> int:
    # A decoder reads ahead in blocks, so that its own position says nothing about the line.
    with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
        return next(number for number, line in enumerate(file, 1) if not _is_utf8(line))


def _is_utf8(line: bytes) -> bool:
    try:
        line.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _csv_rows(card: DatasetCard, split: SplitCard, path: Path) -> Iterator[Row]:
    columns = None if card.header else split.columns
    for line, cells in csv_cells(path, _columns(split)):
        where = f"{path}, line {line}"
        if columns is None:
            columns = _header(card, split, tuple(cells), where)
            continue
        if len(cells) != len(columns):
            raise DatasetError(f"{where}: {len(cells)} columns; expected {len(columns)}: {','.join(columns)}")
        yield Row(line, dict(zip(columns, cells, strict=True)))


def csv_cells(path: Path, expected: str) -> Iterator[tuple[int, list[str]]]:
    """Yield the lines of a CSV file that are not blank, with their numbers; `expected` says of what they are.

    Raises: DatasetError for one that is no CSV.
    """
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.reader(file, strict=True)
        try:
            for cells in reader:
                if cells:
                    yield reader.line_num, cells
        except csv.Error as problem:
            raise DatasetError(
                f"{path}, line {reader.line_num}: {problem}; expected CSV with {expected}"
            ) from problem


def _header(card: DatasetCard, split: SplitCard, columns: tuple[str, ...], where: str) -> tuple[str, ...]:
    present = {split.rename.get(column, column) for column in columns}
    missing = [name for name in card.fields if name not in present]
    if missing:
        raise DatasetError(f"{where}: header without {', '.join(missing)}; expected {_columns(split)}")
    return columns


def jsonl_rows(path: Path) -> Iterator[Row]:
    """Yield the JSON objects of a file, one a line.

    Raises: DatasetError for a line that is none.
    """
    with _open_text(path) as file:
        for line, text in enumerate(file, 1):
            if text.strip():
                yield Row(line, _json_object(text, f"{path}, line {line}"))


def _open_text(path: Path) -> TextIO:
    if path.suffix == ".gz":
        return gzip.open(path, "rt", encoding="utf-8-sig")
    return path.open(encoding="utf-8-sig")


def _json_object(text: str, where: str) -> dict[str, Any]:
    try:
        value = parse_json(text)
    except JsonError as problem:
        raise DatasetError(f"{where}: not JSON: {problem.reason}; expected one object per line") from problem
    if not isinstance(value, dict):
        raise DatasetError(f"{where}: a JSON {type(value).__name__}; expected one object per line")
    return value


def _fields(card: DatasetCard, split: SplitCard, cells: Mapping[str, Any], where: str) -> dict[str, str]:
    named = {split.rename.get(column, column): value for column, value in cells.items()}
    missing = [name for name in card.fields if name not in named]
    if missing:
        raise DatasetError(f"{where}: no {', '.join(missing)}; expected {_columns(split)}")
    fields = {name: _text(named[name], name, where) for name in card.fields if name != "answer"}
    for name in card.optional_fields:
        value = named.get(name)
        fields[name] = "" if value is None else _text(value, name, where)
    if card.answers is AnswerKind.NONE:
        return fields
    if card.answers is AnswerKind.LETTER:
        fields = _without_absent_options(card, fields, where)
    letters = tuple(name for name in card.options if name in fields)
    return fields | {"answer": _answer(card.answers, named["answer"], letters, where)}


def _without_absent_options(card: DatasetCard, fields: dict[str, str], where: str) -> dict[str, str]:
    """Return `fields` without the options that this question lacks: one that is required may be empty."""
    absent = {name for name in card.options if not fields[name]} - {*card.required_options}
    there = tuple(name for name in card.options if name not in absent)
    if there != OPTION_LETTERS[: len(there)]:
        missing = next(name for name in card.options if name in absent)
        raise DatasetError(f"{where}: option {there[-1]} without option {missing}; expected no gap")
    return {name: value for name, value in fields.items() if name not in absent}


def _text(value: object, name: str, where: str) -> str:
    if not isinstance(value, str):
        raise DatasetError(f"{where}: {name} is {value!r:.40}; expected text")
    try:
        value.encode()
    except UnicodeEncodeError as problem:
        # JSON can spell half of a surrogate pair, which no tokenizer and no file takes.
        raise DatasetError(
            f"{where}: {name} holds {value[problem.start]!r}, half a character; expected text"
        ) from problem
    return value


def _answer(kind: AnswerKind, value: object, letters: Sequence[str], where: str) -> str:
    if kind is AnswerKind.TEXT:
        return _text(value, "answer", where)
    if kind is AnswerKind.LETTER:
        if value in letters:
            return str(value)
        raise DatasetError(f"{where}: answer {value!r:.40}; expected one of {', '.join(letters)}")
    # Copies of BoolQ write the label as a JSON bool, as 0 or 1, or as the word "true" or "false".
    if isinstance(value, int) and value in (0, 1):
        return "yes" if value else "no"
    if isinstance(value, str) and value.lower() in _BOOLEAN_WORDS:
        return _BOOLEAN_WORDS[value.lower()]
    raise DatasetError(f"{where}: answer {value!r:.40}; expected true or false")


def _columns(split: SplitCard) -> str:
    return f"the columns {','.join(split.columns)}"
