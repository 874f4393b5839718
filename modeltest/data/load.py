"""Reading a dataset: from its name and split to the records and shots a task works on."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

from modeltest.api import (
    AccuracyTask,
    BringingRows,
    DatasetError,
    DatasetInfo,
    Record,
    RowsFile,
    SpecError,
    TaskData,
)
from modeltest.data.card import DatasetCard, Role, SplitCard, load_card
from modeltest.data.file_rows import load_rows_file
from modeltest.data.loaded import FULL, SAMPLE, LoadedDataset, joined_sha256
from modeltest.data.rows import files_sha256, read_records
from modeltest.data.stored import records_of

DATA_DIR_VARIABLE = "MODELTEST_DATA_DIR"

_NAMED_FILES = 5


@dataclass(frozen=True, slots=True)
class SplitFiles:
    """The files of one split under a folder: subject -> path, in C-locale order of the file names."""

    split: SplitCard
    present: Mapping[str, Path]
    missing: Mapping[str, Path]


def load_dataset(
    name: str,
    split: str,
    *,
    data_dir: str | None,
    subjects: Collection[str] = (),
    limit: int | None = None,
    shots_needed: bool = False,
) -> LoadedDataset:
    """Read the dataset `name`; `split` is `full` (the user's files) or `sample` (the bundled rows).

    `subjects` keeps those only, in file order, and only their files need to be there; none means all.
    `limit` keeps the first rows of every subject. Shots are read when `shots_needed`: those of the shots
    split, or none where that split is optional and absent. `DatasetInfo.sha256` covers the evaluation files
    that are there, not the rows; with shots it is the sha256 of the two splits' hex digests written one
    after the other.

    Raises: SpecError for a wrong word; DatasetError for files that are absent, incomplete or malformed.
    """
    _check_words(split, limit)
    card = load_card(name)
    folder = card.sample_folder if split == SAMPLE else data_directory(data_dir) / name
    _check_subjects(card, subjects)
    evaluation = _evaluation_files(card, folder, split, subjects=subjects, data_dir=data_dir)
    chosen = {key: path for key, path in evaluation.present.items() if not subjects or key in subjects}
    shots = _shots_files(card, folder, evaluation.present, chosen) if shots_needed else None
    used = [files for files in (evaluation, shots) if files is not None]
    digests = [files_sha256(files.present.values()) for files in used]
    records = records_of(card, evaluation.split, chosen, limit=limit)
    info = DatasetInfo(
        name=name,
        split=split,
        path=str(folder),
        sha256=joined_sha256(digests),
        official=split == FULL and digests == [files.split.sha256 for files in used],
        records=len(records),
        subjects=len(chosen),
    )
    facts = {subject: card.subjects[subject] for subject in chosen}
    return LoadedDataset(TaskData(records, _read_shots(card, shots, chosen), facts), info)


def load_dataset_of(
    task: AccuracyTask,
    split: str,
    *,
    data_dir: str | None,
    subjects: Collection[str] = (),
    limit: int | None = None,
    shots_needed: bool = False,
) -> LoadedDataset:
    """Read the dataset of `task`, or the rows that it brings.

    Raises: as `load_dataset`.
    """
    if isinstance(task, BringingRows):
        found: RowsFile = task.rows_file
        return load_rows_file(found, limit=limit, shots_needed=shots_needed)
    return load_dataset(
        task.dataset, split, data_dir=data_dir, subjects=subjects, limit=limit, shots_needed=shots_needed
    )


def subjects_of(task: AccuracyTask) -> Mapping[str, Mapping[str, str]]:
    """Return what the dataset card of `task` says of each subject; nothing where it brings its rows.

    Raises: as `load_card`.
    """
    return {} if isinstance(task, BringingRows) else load_card(task.dataset).subjects


def data_directory(data_dir: str | None) -> Path:
    """Return the folder of all full datasets: `data_dir`, else MODELTEST_DATA_DIR, else the user's cache."""
    chosen = data_dir or os.environ.get(DATA_DIR_VARIABLE) or "~/.cache/modeltest/data"
    return Path(chosen).expanduser().absolute()


def split_files(card: DatasetCard, split: SplitCard, folder: Path) -> SplitFiles:
    """Return which files of `split` lie under `folder` and which do not."""
    paths = {subject: folder / path for subject, path in split.paths(card.subjects).items()}
    present = {subject: path for subject, path in paths.items() if path.is_file()}
    return SplitFiles(split, present, {key: path for key, path in paths.items() if key not in present})


def name_some(paths: Iterable[Path]) -> str:
    """Return the names of the first files and how many more there are."""
    names = [f"{path.parent.name}/{path.name}" for path in paths]
    more = len(names) - _NAMED_FILES
    return ", ".join(names[:_NAMED_FILES]) + (f" and {more} more" if more > 0 else "")


def _check_words(split: str, limit: int | None) -> None:
    if split not in (FULL, SAMPLE):
        raise SpecError(f"unknown split '{split}'; available: {FULL}, {SAMPLE}")
    if limit is not None and limit < 1:
        raise SpecError(f"limit {limit} is not possible; give the number of questions per subject, 1 or more")


def _check_subjects(card: DatasetCard, subjects: Collection[str]) -> None:
    for subject in subjects:
        if subject not in card.subjects:
            near = get_close_matches(subject, card.subjects)
            known = f"did you mean {' or '.join(near)}" if near else f"available: {', '.join(card.subjects)}"
            raise SpecError(f"dataset '{card.name}' has no subject '{subject}'; {known}")


def _evaluation_files(
    card: DatasetCard, folder: Path, split: str, *, subjects: Collection[str], data_dir: str | None
) -> SplitFiles:
    for candidate in card.splits_for(Role.EVALUATION):
        files = split_files(card, candidate, folder)
        lacking = _only(files, subjects or card.subjects)
        if files.present and lacking.missing and split == FULL:
            raise DatasetError(_incomplete(card.name, lacking, folder))
        if files.present:
            _check_sample_subjects(card, files, subjects)
            return files
    raise DatasetError(_absent(card.name, folder, data_dir))


def _check_sample_subjects(card: DatasetCard, files: SplitFiles, subjects: Collection[str]) -> None:
    if absent := [subject for subject in subjects if subject not in files.present]:
        raise SpecError(
            f"the sample of dataset '{card.name}' has no subject '{absent[0]}'; "
            f"it has: {', '.join(files.present)}"
        )


def _only(files: SplitFiles, subjects: Collection[str]) -> SplitFiles:
    return SplitFiles(
        files.split,
        {subject: path for subject, path in files.present.items() if subject in subjects},
        {subject: path for subject, path in files.missing.items() if subject in subjects},
    )


def _shots_files(
    card: DatasetCard, folder: Path, evaluated: Collection[str], chosen: Collection[str]
) -> SplitFiles | None:
    for candidate in card.splits_for(Role.SHOTS):
        files = split_files(card, candidate, folder)
        if candidate.optional and not files.present:
            return None
        if (lacking := _only(files, chosen)).missing:
            raise DatasetError(_incomplete(card.name, lacking, folder))
        return _only(files, evaluated)
    return None


def _read_shots(
    card: DatasetCard, files: SplitFiles | None, chosen: Collection[str]
) -> dict[str, tuple[Record, ...]]:
    if files is None:
        return {}
    return {
        subject: tuple(read_records(card, files.split, subject, path))
        for subject, path in files.present.items()
        if subject in chosen
    }


def _incomplete(name: str, files: SplitFiles, folder: Path) -> str:
    return (
        f"dataset '{name}' in {folder} is incomplete: {len(files.missing)} files of split {files.split.name}"
        f" are missing: {name_some(files.missing.values())}; add them with `modeltest data add {name} PATH`"
    )


def _absent(name: str, folder: Path, data_dir: str | None) -> str:
    there = f" --data-dir {data_dir}" if data_dir else ""
    return (
        f"dataset '{name}' is not in {folder}; get it with `modeltest data fetch {name}{there}`, or copy"
        f" files you have with `modeltest data add {name} PATH{there}`, or set {DATA_DIR_VARIABLE} to the"
        f" folder that holds {name}/"
    )
