"""Where converted files wait, unseen by any loader, until all of them are there.

A folder `.modeltest-convert` in the target holds the files, whose names no loader looks for, and
`finished.json`, which says of each that it was verified, and from which source. So a conversion that was
killed goes on where it ended, and leaves nothing that looks like a checkpoint.
"""

from __future__ import annotations

import fcntl
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from modeltest.api import PrerequisiteError
from modeltest.convert.sources import TorchCheckpoint, TorchFile
from modeltest.machine.files import write_json
from modeltest.plain.contracts import from_plain, to_plain
from modeltest.plain.json_text import parse_json

FOLDER = ".modeltest-convert"
_STATE_FILE = "finished.json"
_LOCK = "lock"


@dataclass(frozen=True, slots=True)
class Finished:
    """A source that was converted and verified."""

    source: str
    source_bytes: int
    source_modified_ns: int
    target: str
    target_bytes: int
    tensor_bytes: int
    names: tuple[str, ...]
    """Of the tensors."""


@dataclass(frozen=True, slots=True)
class _State:
    files: tuple[Finished, ...]


@dataclass(frozen=True, slots=True)
class Staging:
    """The waiting room of one target folder."""

    target: Path

    @property
    def folder(self) -> Path:
        """The hidden folder; it need not exist."""
        return self.target / FOLDER

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep a second conversion out of the target folder.

        Raises: PrerequisiteError when one is running there, or the folder cannot be written.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            lock = (self.folder / _LOCK).open("w")
        except OSError as problem:
            raise PrerequisiteError(
                f"cannot write into {self.target}: {problem.strerror}; choose another folder with --output"
            ) from None
        with lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                raise PrerequisiteError(f"another conversion is writing into {self.target}") from None
            yield

    def waiting(self, target_name: str) -> Path:
        """Return where the file that will be called `target_name` waits."""
        return self.folder / f"{target_name}.part"

    def finished(self, checkpoint: TorchCheckpoint) -> dict[str, Finished]:
        """Return what is done already of `checkpoint`, by the name of the source.

        A source that has changed since, or a file that is not there in full, does not count.
        """
        try:
            state = from_plain(_State, parse_json((self.folder / _STATE_FILE).read_bytes()))
        except (OSError, ValueError):
            return {}
        known = {each.source: each for each in state.files}
        sources = {file.path.name: file for file in checkpoint.files}
        return {
            name: each
            for name, each in known.items()
            if name in sources and _is_from(each, sources[name]) and self._is_there(each)
        }

    def record(self, finished: dict[str, Finished]) -> None:
        """Remember what is done."""
        write_json(self.folder / _STATE_FILE, to_plain(_State(tuple(finished.values()))))

    def is_published(self, finished: Finished) -> bool:
        """Say whether the file is in its place already, put there before the conversion was killed."""
        return not self.waiting(finished.target).exists()

    def publish(self, finished: Finished) -> None:
        """Put the file in its place.

        Raises: OSError.
        """
        if not self.is_published(finished):
            self.waiting(finished.target).replace(self.target / finished.target)

    def remove(self) -> None:
        """Remove the waiting room."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def remove_if_unused(self) -> None:
        """Remove the waiting room unless there is work in it that can be taken up again."""
        if not (self.folder / _STATE_FILE).exists():
            with suppress(OSError):
                shutil.rmtree(self.folder)

    def _is_there(self, finished: Finished) -> bool:
        places = (self.waiting(finished.target), self.target / finished.target)
        return any(place.is_file() and place.stat().st_size == finished.target_bytes for place in places)


def _is_from(finished: Finished, source: TorchFile) -> bool:
    return (finished.source_bytes, finished.source_modified_ns, finished.target) == (
        source.size_bytes,
        source.modified_ns,
        source.target,
    )
