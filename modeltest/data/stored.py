"""The records of a run, read from their files at each iteration: memory does not grow with their number."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

from modeltest.api import Record
from modeltest.data.card import DatasetCard, SplitCard
from modeltest.data.rows import read_records


class StoredRecords(Collection[Record]):
    """The records of some files, at most `limit` of each, in the order of the files.

    All are read once when it is made, so that a malformed row is found before anything is asked.

    Raises: DatasetError.
    """

    def __init__(
        self, card: DatasetCard, split: SplitCard, files: Mapping[str, Path], *, limit: int | None
    ) -> None:
        self._card = card
        self._split = split
        self._files = files
        self._limit = limit
        self._count = sum(1 for _ in self)

    def __iter__(self) -> Iterator[Record]:
        for subject, path in self._files.items():
            yield from read_records(self._card, self._split, subject, path, limit=self._limit)

    def __len__(self) -> int:
        return self._count

    def __contains__(self, record: object) -> bool:
        return any(record == each for each in self)
