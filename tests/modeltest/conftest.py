"""Made-up datasets that are complete in shape: every subject of the card, two rows each."""

import csv
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from modeltest.data.card import load_card

LETTER_ROWS = (("q one", "a", "b", "c", "d", "A"), ("q two", "a", "None", "c", "d", "B"))
BOOLQ_ROWS = (
    {"question": "is it so", "title": "T", "answer": True, "passage": "It is so."},
    {"question": "is it not so", "title": "T", "answer": False, "passage": "It is so."},
)


@pytest.fixture
def made_up_dataset(tmp_path: Path) -> Callable[[str], Path]:
    """Return a function from a dataset's name to a folder with all its files, none of them official."""
    return lambda name: _write(name, tmp_path / "made_up" / name)


def _write(name: str, folder: Path) -> Path:
    if name == "boolq":
        folder.mkdir(parents=True)
        lines = "".join(json.dumps(row) + "\n" for row in BOOLQ_ROWS)
        (folder / "dev.jsonl").write_text(lines, encoding="utf-8")
        return folder
    card = load_card(name)
    for split in card.splits:
        for path in split.paths(card.subjects).values():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            with (folder / path).open("w", encoding="utf-8", newline="") as file:
                csv.writer(file).writerows(_rows(card.header, split.columns))
    return folder


def _rows(header: bool, columns: tuple[str, ...]) -> list[list[str]]:
    if not header:
        return [list(row) for row in LETTER_ROWS]
    named = ("question", "A", "B", "C", "D", "answer")
    rows = [
        {"id": str(number), "explanation": "", **dict(zip(named, row, strict=True))}
        for number, row in enumerate(LETTER_ROWS)
    ]
    return [list(columns), *([row[column] for column in columns] for row in rows)]
