"""Whether two installed ModelTests are the same: by the digest of all files of their packages."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path

PACKAGES = ("modeltest", "engines", "reports")

_NOT_SOURCE = ("__pycache__", "_datasets")
"""Folders of a package: made when it is imported, or data that only a wheel carries there."""


def own_packages() -> dict[str, Path]:
    """Return the folders of the packages of the ModelTest that is running."""
    found = {name: find_spec(name) for name in PACKAGES}
    return {
        name: Path(next(iter(spec.submodule_search_locations)))
        for name, spec in found.items()
        if spec is not None and spec.submodule_search_locations
    }


def source_digest(packages: Mapping[str, Path]) -> str:
    """Return the sha256 over the files of packages: their names and contents.

    Raises: OSError when one cannot be read.
    """
    digest = hashlib.sha256()
    for name, folder in sorted(packages.items()):
        for relative, path in sorted(_files(folder)):
            of_file = hashlib.sha256(path.read_bytes()).hexdigest()
            digest.update(f"{name}/{relative}\0{of_file}\n".encode("utf-8", "surrogateescape"))
    return digest.hexdigest()


def _files(package: Path) -> Iterator[tuple[str, Path]]:
    for folder, folders, files in os.walk(package):
        folders[:] = [name for name in folders if name not in _NOT_SOURCE and not name.startswith(".")]
        for name in files:
            path = Path(folder) / name
            if not name.startswith(".") and path.suffix != ".pyc":
                yield path.relative_to(package).as_posix(), path
