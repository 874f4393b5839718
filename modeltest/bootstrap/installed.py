"""What the running Python has installed, read from distribution metadata.

An importable folder in the current directory is not an installation: nothing here tries imports, and
what a build left behind in the checkout itself does not count.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib import import_module, metadata
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from modeltest.bootstrap.messages import NotReady
from modeltest.bootstrap.requirements import (
    PROJECT,
    Project,
    missing,
    needed,
    needed_by_metadata,
    normal_name,
    project_of,
)


@dataclass(frozen=True, slots=True)
class Installation:
    """The ModelTest found in this Python."""

    location: Path
    is_this_checkout: bool
    is_complete: bool
    """Every requirement is present and the entry points are those of today's pyproject.toml."""


def read_project(root: Path) -> Project:
    """Read the checkout's pyproject.toml."""
    return project_of(_toml_module().loads((root / "pyproject.toml").read_text(encoding="utf-8")))


def find_installation(
    root: Path, extras: Iterable[str], search_path: Sequence[str] | None = None
) -> Installation | None:
    """Return the ModelTest installed on the search path, `None` if there is none or its files are gone.

    `extras` are looked at only for an installation of this checkout: another one is taken as it is.
    """
    path = [entry for entry in _path(search_path) if os.path.realpath(entry) != str(root)]
    distribution = _distribution(PROJECT, path)
    if distribution is None:
        return None
    location = _location(distribution)
    if not (location / "modeltest" / "__init__.py").is_file():
        return None
    is_this_checkout = location.samefile(root)
    if is_this_checkout:
        project = read_project(root)
        requirements = needed(project, extras)
        is_current = _entry_points(distribution) == project.entry_points
    else:
        requirements = needed_by_metadata(distribution.requires or ())
        is_current = True
    lacking = missing(requirements, versions_of((item.name for item in requirements), path))
    return Installation(location, is_this_checkout=is_this_checkout, is_complete=is_current and not lacking)


def versions_of(names: Iterable[str], search_path: Sequence[str] | None = None) -> dict[str, str]:
    """Return the versions of those distributions among `names` that are installed, by normal name."""
    found = {normal_name(name): _distribution(name, _path(search_path)) for name in names}
    return {name: distribution.version for name, distribution in found.items() if distribution is not None}


def all_versions() -> dict[str, str]:
    """Return every installed distribution's version by normal name; the first on `sys.path` counts."""
    versions: dict[str, str] = {}
    for distribution in metadata.distributions():
        # A half-removed distribution has a folder but no metadata.
        if "Name" in distribution.metadata and "Version" in distribution.metadata:
            versions.setdefault(normal_name(distribution.metadata["Name"]), distribution.version)
    return versions


def _path(search_path: Sequence[str] | None) -> Sequence[str]:
    return sys.path if search_path is None else search_path


def _distribution(name: str, search_path: Sequence[str]) -> metadata.Distribution | None:
    return next(iter(metadata.Distribution.discover(name=name, path=list(search_path))), None)


def _entry_points(distribution: metadata.Distribution) -> frozenset[tuple[str, str, str]]:
    return frozenset((point.group, point.name, point.value) for point in distribution.entry_points)


def _location(distribution: metadata.Distribution) -> Path:
    record = json.loads(distribution.read_text("direct_url.json") or "{}")
    if record.get("dir_info", {}).get("editable"):
        return Path(unquote(urlsplit(record["url"]).path))
    return Path(str(distribution.locate_file("")))


def _toml_module() -> Any:
    # Python 3.10 has none of its own, but pip carries one.
    for name in ("tomllib", "tomli", "pip._vendor.tomli"):
        with suppress(ImportError):
            return import_module(name)
    raise NotReady(f"{sys.executable} has no pip; '{sys.executable} -m ensurepip' may bring it")
