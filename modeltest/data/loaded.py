"""What was read of a dataset, wherever its rows lie."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from modeltest.api import DatasetInfo, TaskData

FULL = "full"
SAMPLE = "sample"


@dataclass(frozen=True, slots=True)
class LoadedDataset:
    """The rows of a run and which files they came from."""

    data: TaskData
    info: DatasetInfo


def joined_sha256(digests: Sequence[str]) -> str:
    """Return the digest of a split; of several the sha256 of their hex digests, one after the other."""
    return digests[0] if len(digests) == 1 else hashlib.sha256("".join(digests).encode()).hexdigest()
