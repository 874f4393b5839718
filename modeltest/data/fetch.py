"""Fetching a dataset from the Hugging Face hub and restoring its original files from the hub's rows."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Any, Protocol

from modeltest.api import DatasetError, PrerequisiteError
from modeltest.data.card import DatasetCard, FileFormat, HubRows, SplitCard, load_card
from modeltest.data.store import SplitFinding, install_files, verify_dataset, write_files
from modeltest.installation import install_command

HubRow = Mapping[str, Any]

_TITLE_END = " -- "


class HubReader(Protocol):
    """Reads the rows of one configuration and split of a hub repository."""

    def __call__(self, repository: str, config: str, split: str) -> Iterable[HubRow]:
        """Return the rows in their order."""


def fetch_dataset(
    name: str, data_dir: str | None, *, force: bool = False, read: HubReader | None = None
) -> list[SplitFinding]:
    """Download the dataset `name`, write its original files and return how they compare.

    `read` stands in for the hub.

    Raises: PrerequisiteError without the Hugging Face package or a network; DatasetError for rows that do not
    fit, or without `force` when other files are already there.
    """
    card = load_card(name)
    reader = read or _hub_reader(name)

    def fill(folder: Path) -> None:
        for split in card.splits:
            if split.hub_split is not None:
                write_files(folder, original_files(card, split, _read_rows(card, split, reader)))

    install_files(card, data_dir, fill, force=force)
    return verify_dataset(name, data_dir)


def original_files(
    card: DatasetCard, split: SplitCard, rows_by_subject: Mapping[str, Iterable[HubRow]]
) -> dict[str, bytes]:
    """Return path -> content of the original files of `split`, made from the hub's rows. Pure.

    The official files are written with minimal quoting; with the card's line ends the bytes are the official
    ones, if the rows are.

    Raises: DatasetError naming the row that does not fit.
    """
    files = {}
    for subject, path in split.paths(rows_by_subject).items():
        rows = [
            _original_row(card, split, row, f"{card.hub.id}, {subject}, row {number}")
            for number, row in enumerate(rows_by_subject[subject])
        ]
        is_csv = card.format is FileFormat.CSV
        files[path] = _csv_bytes(card, split, subject, rows) if is_csv else _jsonl_bytes(split, rows)
    return files


def _read_rows(card: DatasetCard, split: SplitCard, read: HubReader) -> dict[str, list[HubRow]]:
    hub_split = split.hub_split or split.name
    if "{subject}" in card.hub.config:
        return {
            subject: list(read(card.hub.id, card.hub.config.format(subject=subject), hub_split))
            for subject in card.subjects
        }
    rows = list(read(card.hub.id, card.hub.config, hub_split))
    if len(card.subjects) == 1:
        return dict.fromkeys(card.subjects, rows)
    return _by_subject(card, rows)


def _by_subject(card: DatasetCard, rows: Sequence[HubRow]) -> dict[str, list[HubRow]]:
    grouped: dict[str, list[HubRow]] = {}
    for number, row in enumerate(rows):
        subject = row.get("subject")
        if not isinstance(subject, str) or subject not in card.subjects:
            raise DatasetError(
                f"{card.hub.id}, row {number}: subject {subject!r}; expected one of the {len(card.subjects)}"
                " in the dataset card"
            )
        grouped.setdefault(subject, []).append(row)
    return grouped


def _original_row(card: DatasetCard, split: SplitCard, row: HubRow, where: str) -> list[Any]:
    try:
        named = _RESTORE[card.hub.rows](row, card)
        return [named[column] for column in split.columns]
    except (KeyError, ValueError, TypeError) as problem:
        raise DatasetError(
            f"{where}: {problem}; expected rows that give the columns {','.join(split.columns)}"
        ) from problem


def _from_columns(row: HubRow, _card: DatasetCard) -> HubRow:
    return row


def _from_choice_list(row: HubRow, card: DatasetCard) -> HubRow:
    choices, answer = row["choices"], row["answer"]
    if not len(card.required_options) <= len(choices) <= len(card.options):
        raise ValueError(f"{len(choices)} choices")
    if answer not in range(len(choices)):
        raise ValueError(f"answer {answer!r} is no index of a choice")
    return {
        "question": row["question"],
        **dict(zip_longest(card.options, choices, fillvalue="")),
        "answer": card.options[answer],
    }


def _from_titled_passage(row: HubRow, _card: DatasetCard) -> HubRow:
    title, end, passage = row["passage"].partition(_TITLE_END)
    if not end:
        raise ValueError("passage without a title in front of it")
    if row["label"] not in (0, 1):
        raise ValueError(f"label {row['label']!r} is neither 0 nor 1")
    return {"question": row["question"], "title": title, "answer": bool(row["label"]), "passage": passage}


_RESTORE = {
    HubRows.COLUMNS: _from_columns,
    HubRows.CHOICE_LIST: _from_choice_list,
    HubRows.TITLED_PASSAGE: _from_titled_passage,
}


def _csv_bytes(card: DatasetCard, split: SplitCard, subject: str, rows: Sequence[Sequence[Any]]) -> bytes:
    line_end = "\r\n" if split.ends_with_crlf(subject) else "\n"
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator=line_end)
    if card.header:
        writer.writerow(split.columns)
    writer.writerows(rows)
    content = text.getvalue()
    return (content.removesuffix(line_end) if subject in split.no_final_newline else content).encode()


def _jsonl_bytes(split: SplitCard, rows: Sequence[Sequence[Any]]) -> bytes:
    objects = (dict(zip(split.columns, row, strict=True)) for row in rows)
    return "".join(json.dumps(item, ensure_ascii=split.escaped) + "\n" for item in objects).encode()


def _hub_reader(name: str) -> HubReader:
    # In a checkout without the package, `import datasets` finds our own folder of that name; only the
    # function tells whether it is Hugging Face's.
    try:
        from datasets import load_dataset
    except ImportError as problem:
        raise PrerequisiteError(
            f"fetching needs the Hugging Face package: {install_command('fetch')}; or copy files you "
            f"have with `modeltest data add {name} PATH`"
        ) from problem

    def read(repository: str, config: str, split: str) -> Iterable[HubRow]:
        # Whatever the hub's client raises, from a dozen classes of four packages, means the same to the user.
        try:
            return list(load_dataset(repository, config, split=split, streaming=True))
        except Exception as problem:
            raise PrerequisiteError(
                f"cannot read {repository} ({config}, {split}) from the Hugging Face hub: there is no network"
                f" or no access to it ({_first_line(problem)}); without it, copy files you have with"
                f" `modeltest data add {name} PATH`"
            ) from problem

    return read


def _first_line(problem: Exception) -> str:
    lines = str(problem).strip().splitlines()
    return lines[0] if lines else type(problem).__name__
