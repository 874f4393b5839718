"""The records of a run, read from their files at each iteration: memory does not grow with their number."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path

from modeltest.api import Record
from modeltest.data.card import DatasetCard, SplitCard
from modeltest.data.rows import read_records


class StoredRecords(Collection[Record]):
    """The records that `read` yields, from the beginning at each call.

    All are read once when it is made, so that a malformed row is found before anything is asked.

    Raises: DatasetError.
    """

    def __init__(self, read: Callable[[], Iterator[Record]]) -> None:
        self._read = read
        self._count = sum(1 for _ in self)

    def __iter__(self) -> Iterator[Record]:
        return self._read()

    def __len__(self) -> int:
        return self._count

    def __contains__(self, record: object) -> bool:
        return any(record == each for each in self)


def records_of(
    card: DatasetCard, split: SplitCard, files: Mapping[str, Path], *, limit: int | None
) -> StoredRecords:
    """Return the records of some files, at most `limit` of each, in the order of the files.

    Raises: DatasetError.
    """

    def read() -> Iterator[Record]:
        for subject, path in files.items():
            yield from read_records(card, split, subject, path, limit=limit)

    return StoredRecords(read)
