"""Dataset cards: what `datasets/<name>/dataset.toml` says of a dataset, as frozen values."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import Enum
from importlib.metadata import EntryPoint
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from modeltest.api import FEWEST_OPTIONS, OPTION_LETTERS, DatasetError, PrerequisiteError, SpecError
from modeltest.entry_points import declared, owner_of
from modeltest.plain.contracts import from_plain
from modeltest.plain.toml_file import read_toml

CARD_FILE = "dataset.toml"
GROUP = "modeltest.datasets"
"""The entry points by which a package declares a dataset: its name, and the package that is its folder."""

EVERY_SUBJECT = "*"
_LONGEST_NAME = 255
"""Bytes of a file's name, on every usual file system."""

_PACKAGE = Path(__file__).resolve().parents[1]


class Role(str, Enum):
    """What the rows of a split are for."""

    EVALUATION = "evaluation"
    SHOTS = "shots"


class FileFormat(str, Enum):
    """How rows are written."""

    JSONL = "jsonl"
    CSV = "csv"


class AnswerKind(str, Enum):
    """How the official files write the right answer."""

    BOOLEAN = "boolean"
    LETTER = "letter"
    TEXT = "text"
    NONE = "none"
    """There is no answer column."""


class HubRows(str, Enum):
    """How the rows of the Hugging Face copy differ from those of the original files."""

    COLUMNS = "columns"
    """The same columns."""

    CHOICE_LIST = "choice_list"
    """`choices` is a list of options and `answer` its index; `subject` names the file."""

    TITLED_PASSAGE = "titled_passage"
    """`passage` is `title -- passage` and `label` is 0 or 1."""


@dataclass(frozen=True, slots=True)
class HubSource:
    """The Hugging Face repository `modeltest data fetch` reads; `config` may hold `{subject}`."""

    id: str
    config: str
    rows: HubRows


@dataclass(frozen=True, slots=True)
class SplitCard:
    """One split of a dataset: its files, columns and what the official files amount to."""

    role: Role
    name: str
    files: str
    """Path inside the dataset's folder, with `{subject}` where there is one file per subject."""

    columns: tuple[str, ...]
    rows: int
    sha256: str | None = None
    """Digest over the official files in C-locale name order; `None` when no official digest is known."""

    rename: Mapping[str, str] = field(default_factory=dict)
    """Columns whose field has another name."""

    optional: bool = False
    escaped: bool = False
    """The official file spells characters outside ASCII as `\\u` escapes."""

    hub_split: str | None = None
    crlf: tuple[str, ...] = ()
    no_final_newline: tuple[str, ...] = ()

    def ends_with_crlf(self, subject: str) -> bool:
        """Say whether the lines of the official file of `subject` end with CR LF."""
        return subject in self.crlf or EVERY_SUBJECT in self.crlf

    def paths(self, subjects: Iterable[str]) -> dict[str, str]:
        """Return subject -> path inside the dataset's folder, in C-locale order of the paths."""
        paths = {subject: self.files.format(subject=subject) for subject in subjects}
        return dict(sorted(paths.items(), key=lambda item: os.fsencode(item[1])))


@dataclass(frozen=True, slots=True)
class DatasetCard:
    """One dataset: where it comes from, how its files look and what its subjects are."""

    name: str
    title: str
    licence: str
    homepage: str
    archives: tuple[str, ...]
    hub_ids: tuple[str, ...]
    format: FileFormat
    answers: AnswerKind
    fields: tuple[str, ...]
    """Fields every record has."""

    hub: HubSource
    splits: tuple[SplitCard, ...]
    subjects: Mapping[str, Mapping[str, str]]
    optional_fields: tuple[str, ...] = ()
    prompt_field: str | None = None
    """The field that is the whole prompt in a timed run; `None`: the accuracy task makes the prompt."""

    header: bool = False
    folder: str = ""
    """Where the card lies."""

    @property
    def sample_folder(self) -> Path:
        """Folder of the bundled sample set, laid out like the original."""
        return Path(self.folder) / "sample"

    @property
    def required_options(self) -> tuple[str, ...]:
        """The options that every question has, by their letters."""
        return tuple(name for name in self.fields if name in OPTION_LETTERS)

    @property
    def options(self) -> tuple[str, ...]:
        """The options that a question may have, by their letters: those required come first."""
        return (
            *self.required_options,
            *(name for name in self.optional_fields if name in OPTION_LETTERS),
        )

    def splits_for(self, role: Role) -> tuple[SplitCard, ...]:
        """Return the splits of `role`; the first whose files are there is the one to use."""
        return tuple(split for split in self.splits if split.role is role)


def cards_root() -> Path:
    """Return the folder of all dataset cards, in a wheel, a checkout and an editable install alike.

    Raises: PrerequisiteError when this installation has none.
    """
    return _cards_root_of(_PACKAGE)


def card_names() -> tuple[str, ...]:
    """Return the names of all datasets, ours and those of installed packages, sorted."""
    return tuple(sorted({*_own_names(), *declared(GROUP)}))


def load_card(name: str) -> DatasetCard:
    """Return the card of the dataset `name`.

    Raises: SpecError for an unknown name; PrerequisiteError for one that two packages declare, or whose
    package has no card; DatasetError for a card that does not fit.
    """
    is_own, points = name in _own_names(), declared(GROUP).get(name, ())
    if not is_own and not points:
        raise SpecError(f"unknown dataset '{name}'; available: {', '.join(card_names())}")
    if is_own + len(points) > 1:
        owners = " and ".join([*(["ModelTest"] if is_own else []), *map(_declaration, points)])
        raise PrerequisiteError(
            f"dataset {name!r} is declared by {owners}: uninstall one of them, or rename its dataset"
        )
    return read_card((cards_root() / name if is_own else _folder_of(points[0])) / CARD_FILE)


def _own_names() -> frozenset[str]:
    return frozenset(path.parent.name for path in cards_root().glob(f"*/{CARD_FILE}"))


def _declaration(point: EntryPoint) -> str:
    return f"{owner_of(point)} ({point.value})"


def _folder_of(point: EntryPoint) -> Path:
    """Return the folder that a package names as its dataset's: it is found, and not imported itself."""
    try:
        found = find_spec(point.value)
    except Exception as problem:  # what stands around it is somebody else's code
        reason = f"{type(problem).__name__}: {problem}"
        raise PrerequisiteError(
            f"dataset {point.name!r} of {_declaration(point)} cannot be found: {reason}"
        ) from problem
    for folder in (found.submodule_search_locations or ()) if found else ():
        if (Path(folder) / CARD_FILE).is_file():
            return Path(folder)
    raise PrerequisiteError(
        f"dataset {point.name!r} of {_declaration(point)} is not there: a folder with {CARD_FILE} is expected"
    )


def read_card(path: Path) -> DatasetCard:
    """Return the card written in `path`.

    Raises: DatasetError naming the file and the field that does not fit.
    """
    try:
        content = read_toml(path)
        content["subjects"] = _as_text(content.get("subjects", {}))
        card = from_plain(DatasetCard, content)
        _check_options(card)
        for split in card.splits:
            _check_paths(split, card.subjects)
    except (OSError, ValueError) as problem:
        raise DatasetError(f"{path}: not a dataset card: {problem}") from problem
    return replace(card, folder=str(path.parent))


def _check_options(card: DatasetCard) -> None:
    """Refuse answers by letters without the options that they name.

    Raises: ValueError.
    """
    options = card.options
    is_whole = options == OPTION_LETTERS[: len(options)] and len(card.required_options) >= FEWEST_OPTIONS
    if card.answers is AnswerKind.LETTER and not is_whole:
        raise ValueError(
            f"answers are letters, and the options are {', '.join(options) or 'none'}: expected A, B, ... in "
            "`fields`, and those that some questions lack behind them in `optional_fields`"
        )


def _check_paths(split: SplitCard, subjects: Iterable[str]) -> None:
    """Refuse paths that are none, or lead out of the dataset's folder.

    Raises: ValueError.
    """
    try:
        paths = split.paths(subjects)
    except (LookupError, AttributeError) as problem:
        raise ValueError(f"files is {split.files!r:.80}: {{subject}} alone is filled in") from problem
    for path in paths.values():
        parts = Path(path).parts
        if Path(path).is_absolute() or ".." in parts or not parts or "\0" in path:
            raise ValueError(f"files is {split.files!r:.80}: no path inside the dataset's folder")
        if max(len(part.encode()) for part in parts) > _LONGEST_NAME:
            raise ValueError(f"files is {split.files!r:.80}: a name of more than {_LONGEST_NAME} bytes")


def _cards_root_of(package: Path) -> Path:
    # The wheel's folder comes first: beside an installed package, `datasets` is Hugging Face's package.
    for root in (package / "_datasets", package.parent / "datasets"):
        if any(root.glob(f"*/{CARD_FILE}")):
            return root
    raise PrerequisiteError(
        f"no dataset cards beside {package}: the installation is incomplete; reinstall modeltest"
    )


def _as_text(subjects: Any) -> dict[str, dict[str, str]]:
    """Return the facts of each subject with `true` and `false` as words.

    Raises: ValueError when they are no table of tables.
    """
    if not isinstance(subjects, dict) or not all(isinstance(facts, dict) for facts in subjects.values()):
        raise ValueError("subjects are no table with a table for each subject")
    return {
        subject: {
            key: str(value).lower() if isinstance(value, bool) else value for key, value in facts.items()
        }
        for subject, facts in subjects.items()
    }
