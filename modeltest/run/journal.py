"""The journal `samples.jsonl`: one line per finished question or timed batch, appended as they finish.

A line is `{"sample": {...}}` or `{"measurement": {...}}`. A process killed while writing leaves at most
one torn last line, which readers pass over and the next writer cuts off; a failed write (full disk) is taken
back, so that the file always ends with a whole line.
"""

from __future__ import annotations

import io
import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import TypeVar

import jsonlines

from modeltest.api import Measurement, ModelTestError, PrerequisiteError, Sample, from_plain, to_plain

FILE_NAME = "samples.jsonl"

_CHUNK_BYTES = 1 << 16

Entry = TypeVar("Entry", Sample, Measurement)
_KINDS: dict[type, str] = {Sample: "sample", Measurement: "measurement"}


class JournalWriter:
    """Appends entries to a journal; each `append` is on its way to the disk when it returns."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = path.open("ab", buffering=0)
        self._file.truncate(_whole_bytes(path))

    def __enter__(self) -> JournalWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def append(self, entries: Iterable[Sample | Measurement]) -> None:
        """Append all `entries` or none.

        Raises: PrerequisiteError when they cannot be written; the journal is then as it was before.
        """
        if not os.fstat(self._file.fileno()).st_nlink:
            # The system would go on writing into a file without a name, for hours and for nothing.
            raise PrerequisiteError(f"cannot write {self._path}: the file was deleted during the run")
        text = io.StringIO()
        with jsonlines.Writer(text, compact=True, dumps=_dumps) as writer:
            for entry in entries:
                writer.write({_KINDS[type(entry)]: to_plain(entry)})
        data = text.getvalue().encode()
        end = self._file.seek(0, os.SEEK_END)
        try:
            _write_all(self._file, data)
        except OSError as problem:
            self._file.truncate(end)
            raise PrerequisiteError(f"cannot write {self._path}: {problem.strerror}") from problem


class JournalReader(Iterable[Entry]):
    """The entries of one kind, read anew from the file at each iteration."""

    def __init__(self, path: Path, kind: type[Entry]) -> None:
        self._path = path
        self._kind: type[Entry] = kind

    def __iter__(self) -> Iterator[Entry]:
        key = _KINDS[self._kind]
        for number, line in enumerate(_whole_lines(self._path), start=1):
            try:
                value = json.loads(line)
                if key in value:
                    yield from_plain(self._kind, value[key])
            except (ValueError, TypeError, RecursionError) as problem:
                raise ModelTestError(f"{self._path}, line {number}: not a journal line: {problem}") from None


def read_outcomes(path: Path) -> Iterator[tuple[str, bool | None]]:
    """Yield id and `correct` of each sample: an eighth of the time that it takes to read samples whole.

    Raises: ModelTestError when the journal is damaged.
    """
    for number, line in enumerate(_whole_lines(path), start=1):
        try:
            score = json.loads(line)["sample"]["score"]
            question, correct = score["request_id"], score["correct"]
            if not isinstance(question, str) or not isinstance(correct, bool | None):
                raise ValueError("request_id is no text, or correct neither true, false nor null")
        except (ValueError, TypeError, KeyError, RecursionError) as problem:
            raise ModelTestError(f"{path}, line {number}: not the line of a sample: {problem}") from None
        yield question, correct


def count_entries(path: Path) -> int:
    """Return how many whole lines a journal has; none when there is no journal."""
    return sum(1 for _ in _whole_lines(path))


def _whole_bytes(path: Path) -> int:
    """Return the size of `path` without a torn last line, looked for from its end."""
    with path.open("rb") as file:
        end = file.seek(0, os.SEEK_END)
        while end:
            begin = max(0, end - _CHUNK_BYTES)
            file.seek(begin)
            newline = file.read(end - begin).rfind(b"\n")
            if newline >= 0:
                return begin + newline + 1
            end = begin
    return 0


def _whole_lines(path: Path) -> Iterator[bytes]:
    if not path.exists():
        return
    with path.open("rb") as file:
        for line in file:
            if line.endswith(b"\n"):
                yield line


def _write_all(file: io.FileIO, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[file.write(view) :]


def _dumps(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
