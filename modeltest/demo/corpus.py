"""Text for the demo tokenizer to learn its words from: the sample sets bundled with the datasets."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from pathlib import Path

from modeltest.data.card import cards_root

LEARNT = ("boolq", "ceval", "mmlu")
"""The datasets whose samples are read. No others: each would make every demo model of every seed another one,
and so every number that was measured on them."""


def sample_texts(root: Path | None = None) -> Iterator[str]:
    """Yield every text in the `<dataset>/sample` folders of `LEARNT` in `root`, always in the same order.

    Raises: PrerequisiteError when this installation has no datasets and no `root` is given.
    """
    folder = root or cards_root()
    for name in LEARNT:
        for path in sorted(folder.glob(f"{name}/sample/**/*")):
            if read := _READERS.get(path.suffix):
                yield from read(path)


def _jsonl_texts(path: Path) -> Iterator[str]:
    with path.open(encoding="utf-8") as lines:  # not splitlines: a text may hold other line separators
        for line in lines:
            if line.strip():
                yield from _strings(json.loads(line))


def _csv_texts(path: Path) -> Iterator[str]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        for row in csv.reader(file):
            yield from row


def _strings(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, (dict, list)):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _strings(item)


_READERS = {".jsonl": _jsonl_texts, ".csv": _csv_texts}
