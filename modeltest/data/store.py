"""The user's dataset files: checking them against the card and putting them into the data directory.

Files appear under their final name only when all of them are there and readable: they are gathered in a
temporary folder beside it, which is then renamed.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from modeltest.api import DatasetError, ModelTestError, PrerequisiteError, SpecError
from modeltest.data.card import DatasetCard, Role, card_names, load_card
from modeltest.data.load import SplitFiles, data_directory, name_some, split_files
from modeltest.data.rows import files_sha256, read_records


class SplitStatus(str, Enum):
    """How the files of a split compare with the official ones."""

    OFFICIAL = "official"
    DIFFERENT = "different"
    UNVERIFIED = "unverified"
    """As many rows as the official files, whose digest is not known."""

    INCOMPLETE = "incomplete"
    MALFORMED = "malformed"
    ABSENT = "absent"


_MISMATCHES = (SplitStatus.DIFFERENT, SplitStatus.INCOMPLETE, SplitStatus.MALFORMED)


@dataclass(frozen=True, slots=True)
class SplitFinding:
    """What was found of one split. `rows` and `sha256` are `None` where the files do not allow to tell."""

    dataset: str
    split: str
    role: Role
    status: SplitStatus
    files: int
    files_expected: int
    rows: int | None
    rows_expected: int
    sha256: str | None
    sha256_expected: str | None
    problem: str | None = None

    @property
    def is_mismatch(self) -> bool:
        """Whether files are there but are not the official ones."""
        return self.status in _MISMATCHES


def verify_dataset(name: str, data_dir: str | None) -> list[SplitFinding]:
    """Compare the files of the dataset `name` with its card, split by split.

    Raises: SpecError for an unknown name.
    """
    card = load_card(name)
    return _findings(card, data_directory(data_dir) / name)


def describe_mismatches(findings: Sequence[SplitFinding]) -> str | None:
    """Return one line about everything that is not as the card says, or `None` when nothing is.

    Splits that are absent count only when no evaluation split is there.
    """
    problems = [
        f"{finding.dataset}/{finding.split}: {finding.problem}" for finding in findings if finding.is_mismatch
    ]
    evaluation = [finding for finding in findings if finding.role is Role.EVALUATION]
    if evaluation and all(finding.status is SplitStatus.ABSENT for finding in evaluation):
        name = evaluation[0].dataset
        problems.append(
            f"{name}: no evaluation files here; get them with `modeltest data fetch {name}` or"
            f" `modeltest data add {name} PATH`"
        )
    return "; ".join(problems) or None


@dataclass(frozen=True, slots=True)
class ListedDataset:
    """A line of a listing: the card, or `None`, and in a few words what is there, or why the card is not."""

    name: str
    card: DatasetCard | None
    state: str


def listed_datasets(data_dir: str | None) -> Iterator[ListedDataset]:
    """Yield every dataset, also one whose card cannot be used: a package may have brought it."""
    for name in card_names():
        try:
            yield ListedDataset(name, load_card(name), dataset_state(name, data_dir))
        except ModelTestError as problem:
            yield ListedDataset(name, None, str(problem))


def dataset_state(name: str, data_dir: str | None) -> str:
    """Return in a few words how much of the dataset `name` is there: for listings."""
    findings = verify_dataset(name, data_dir)
    there = [finding for finding in findings if finding.status is not SplitStatus.ABSENT]
    if not there:
        return "sample only" if load_card(name).sample_folder.is_dir() else "not here"
    return ", ".join(f"{finding.split} {finding.status.value}" for finding in there)


def add_dataset(
    name: str, path: str | Path, data_dir: str | None, *, force: bool = False
) -> list[SplitFinding]:
    """Copy the user's files of the dataset `name` into the data directory and return how they compare.

    `path` is a folder in the original layout or, where a split is one file, that file. Files of other splits
    that are already there stay.

    Raises: SpecError for a path that does not exist or fit; DatasetError for incomplete or malformed files,
    and without `force` for files that differ from those already there.
    """
    card = load_card(name)
    sources = _source_files(card, Path(path).expanduser())
    _refuse_unusable(_source_findings(card, sources))

    def copy(folder: Path) -> None:
        for relative, source in sources.items():
            _write(folder / relative, source.read_bytes())

    install_files(card, data_dir, copy, force=force)
    return verify_dataset(name, data_dir)


def write_files(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write `files`, given by their paths inside `folder`."""
    for relative, content in files.items():
        _write(folder / relative, content)


def install_files(
    card: DatasetCard, data_dir: str | None, fill: Callable[[Path], None], *, force: bool = False
) -> None:
    """Let `fill` write files into an empty folder, check them and move them into the data directory.

    Raises: DatasetError as `add_dataset`; PrerequisiteError when the data directory cannot be written.
    """
    root = data_directory(data_dir)
    target = root / card.name
    with _writable(root):
        root.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{card.name}-", dir=root) as temporary:
            staged = Path(temporary) / "new"
            staged.mkdir()
            fill(staged)
            _refuse_unusable(_findings(card, staged))
            if not force:
                _refuse_overwrite(card, staged, target)
            _keep_other_files(staged, target)
            _swap(staged, target, Path(temporary) / "old")


@contextmanager
def _writable(root: Path) -> Iterator[None]:
    try:
        yield
    except OSError as problem:
        raise PrerequisiteError(
            f"cannot write datasets to {root}: {problem.strerror or problem}; choose another folder with"
            " --data-dir"
        ) from problem


def _findings(card: DatasetCard, folder: Path) -> list[SplitFinding]:
    return [_finding(card, split_files(card, split, folder)) for split in card.splits]


def _finding(card: DatasetCard, files: SplitFiles) -> SplitFinding:
    split = files.split
    if not files.present:
        return _found(card, files, SplitStatus.ABSENT)
    if files.missing:
        missing = f"{len(files.missing)} files are missing: {name_some(files.missing.values())}"
        return _found(card, files, SplitStatus.INCOMPLETE, problem=missing)
    try:
        rows = _count_rows(card, files)
        digest = files_sha256(files.present.values())
    except DatasetError as malformed:
        return _found(card, files, SplitStatus.MALFORMED, problem=str(malformed))
    if digest == split.sha256:
        return _found(card, files, SplitStatus.OFFICIAL, rows=rows, sha256=digest)
    if split.sha256 is None and rows == split.rows:
        return _found(card, files, SplitStatus.UNVERIFIED, rows=rows, sha256=digest)
    problem = f"not the official files: {rows} of {split.rows} rows, sha256 {digest}"
    if split.sha256 is not None:
        problem += f" instead of {split.sha256}"
    return _found(card, files, SplitStatus.DIFFERENT, rows=rows, sha256=digest, problem=problem)


def _found(
    card: DatasetCard,
    files: SplitFiles,
    status: SplitStatus,
    *,
    rows: int | None = None,
    sha256: str | None = None,
    problem: str | None = None,
) -> SplitFinding:
    split = files.split
    return SplitFinding(
        dataset=card.name,
        split=split.name,
        role=split.role,
        status=status,
        files=len(files.present),
        files_expected=len(files.present) + len(files.missing),
        rows=rows,
        rows_expected=split.rows,
        sha256=sha256,
        sha256_expected=split.sha256,
        problem=problem,
    )


def _count_rows(card: DatasetCard, files: SplitFiles) -> int:
    return sum(
        1 for subject, path in files.present.items() for _ in read_records(card, files.split, subject, path)
    )


def _source_files(card: DatasetCard, path: Path) -> dict[str, Path]:
    if not path.exists():
        raise SpecError(f"no such file or folder: {path}; expected {_layout(card)}")
    if path.is_file():
        single = [split.files for split in card.splits if split.files == path.name]
        if not single:
            raise SpecError(f"{path.name} is no file of dataset '{card.name}'; expected {_layout(card)}")
        return {path.name: path}
    sources = {
        str(source.relative_to(path)): source
        for split in card.splits
        for source in split_files(card, split, path).present.values()
    }
    if not sources:
        raise SpecError(f"no files of dataset '{card.name}' in {path}; expected {_layout(card)}")
    return sources


def _layout(card: DatasetCard) -> str:
    first = next(iter(card.subjects))
    names = " or ".join(split.files.format(subject=first) for split in card.splits)
    if any("{subject}" in split.files for split in card.splits):
        return f"a folder with {names} and so on for {len(card.subjects)} subjects"
    return f"{names}, or a folder with one of them"


def _source_findings(card: DatasetCard, sources: Mapping[str, Path]) -> list[SplitFinding]:
    # Judged where they lie, so that messages name the user's files and not copies of them.
    findings = []
    for split in card.splits:
        paths = split.paths(card.subjects)
        present = {subject: sources[path] for subject, path in paths.items() if path in sources}
        missing = {subject: Path(path) for subject, path in paths.items() if path not in sources}
        findings.append(_finding(card, SplitFiles(split, present, missing)))
    return findings


def _refuse_unusable(findings: list[SplitFinding]) -> None:
    for finding in findings:
        if finding.status in (SplitStatus.INCOMPLETE, SplitStatus.MALFORMED):
            raise DatasetError(f"nothing was added: {finding.dataset}/{finding.split}: {finding.problem}")


def _refuse_overwrite(card: DatasetCard, staged: Path, target: Path) -> None:
    different = [
        target / path
        for split in card.splits
        for path in split.paths(card.subjects).values()
        if _differ(staged / path, target / path)
    ]
    if different:
        raise DatasetError(
            f"nothing was added: {len(different)} files in {target} have other content:"
            f" {name_some(different)}; give --force to replace them"
        )


def _differ(new: Path, old: Path) -> bool:
    return new.is_file() and old.is_file() and new.read_bytes() != old.read_bytes()


def _keep_other_files(staged: Path, target: Path) -> None:
    for old in target.rglob("*"):
        new = staged / old.relative_to(target)
        if old.is_file() and not new.exists():
            _write(new, old.read_bytes())


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def _swap(staged: Path, target: Path, old: Path) -> None:
    if not target.exists():
        staged.rename(target)
        return
    target.rename(old)
    try:
        staged.rename(target)
    except OSError:
        old.rename(target)
        raise
